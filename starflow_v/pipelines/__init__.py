"""One pipeline a task, on diffusers' `DiffusionPipeline`."""
