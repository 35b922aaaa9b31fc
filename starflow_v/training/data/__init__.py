"""Where a run's clips, captions and latents come from."""
