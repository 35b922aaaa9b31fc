"""Text to video: noise z -> deep, guided by the caption -> shallow -> denoise -> decode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from torch import Generator, Tensor

from starflow_v.denoiser import ScoreDenoiser
from starflow_v.flow.guidance import DensityGuidance
from starflow_v.flow.solver import SequentialSolver, Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.base import (
    StarFlowVBasePipeline,
    StarFlowVPipelineOutput,
    to_noise_frames,
)
from starflow_v.pipelines.request import Plan, Request, given
from starflow_v.pipelines.run import Run
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.sampling.stages import DeepStage, DenoiseStage, Frames, ShallowStage

Callback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any] | None]


class StarFlowVPipeline(StarFlowVBasePipeline):
    """Text to video (and, with `num_frames=1`, text to image).

    Examples:
        >>> from starflow_v import StarFlowVPipeline
        >>> from starflow_v.assets import embedded_model
        >>> pipe = StarFlowVPipeline.from_pretrained(embedded_model())
        >>> pipe("a red circle moves right on a blue background").frames.shape
        (1, 17, 64, 64, 3)
    """

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_videos_per_prompt: int = 1,
        generator: Generator | Sequence[Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callback | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        frame_rate: int | None = None,
        solver: Solver | None = None,
        window: Window | None = None,
    ) -> StarFlowVPipelineOutput | tuple[object]:
        """Make videos from prompts.

        Args:
            prompt: one or several prompts.
            negative_prompt: what the unconditional branch is told instead of nothing.
            height: pixels; `None`: as trained.
            width: pixels; `None`: as trained.
            num_frames: pixel frames, 1 + 4k (others are rounded, with a warning).
            num_inference_steps: unused: a flow has no steps. Accepted for compatibility.
            guidance_scale: the paper's w; 0 turns guidance off.
            num_videos_per_prompt: videos of each prompt.
            generator: a seeded generator, or one for each video.
            latents: the noise z to start from instead, (B, c, T, h, w).
            prompt_embeds: embeddings (B, L, E) instead of prompts.
            negative_prompt_embeds: embeddings instead of negative prompts.
            output_type: "np", "pt", "pil" or "latent", see `StarFlowVPipelineOutput`.
            return_dict: `False` returns a tuple.
            callback_on_step_end: called as (pipeline, t, t, tensors) after latent frame t is
                cleaned, with all cleaned frames so far as `latents` (B, c, t+1, h, w); the
                `latents` it returns are decoded in their place.
            callback_on_step_end_tensor_inputs: which tensors the callback is given.
            max_sequence_length: L, tokens of text; `None`: as trained.
            frame_rate: frames per second told to the model; `None`: as trained.
            solver: how the flow is inverted; `None`: `SequentialSolver()`.
            window: when the deep block restarts; `None`: when the model's own window is full.
        """
        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        self._check_callback_tensors(callback_on_step_end_tensor_inputs)
        request = Request(
            prompt=prompt,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            num_frames=num_frames,
            guidance_scale=guidance_scale,
            num_videos_per_prompt=num_videos_per_prompt,
            generator=generator,
            latents=latents,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            output_type=output_type,
            frame_rate=frame_rate,
            solver=solver,
            window=window,
            max_sequence_length=max_sequence_length,
        )
        run = self._prepare(request)
        cleaned: list[Tensor] = []
        with self.progress_bar(total=self.num_timesteps) as progress:
            for step, frame in enumerate(run.stage_by_stage(progress.update)):
                cleaned.append(frame)
                if callback_on_step_end is not None:
                    tensors: dict[str, Any] = {
                        "latents": torch.cat(cleaned, dim=1).transpose(1, 2),
                        "prompt_embeds": run.text,
                        "negative_prompt_embeds": run.null_text,
                    }
                    passed = {name: tensors[name] for name in callback_on_step_end_tensor_inputs}
                    returned = callback_on_step_end(self, step, step, passed) or {}
                    changed = returned.get("latents", tensors["latents"])
                    cleaned = list(changed.transpose(1, 2).split(1, dim=1))
                if self.interrupt:
                    break
        clean = torch.cat(cleaned, dim=1)
        if output_type == "latent":
            frames: object = clean.transpose(1, 2)
        else:
            frames = self._to_output(self.codec.decode(clean), output_type)
        self.maybe_free_model_hooks()
        if not return_dict:
            return (frames,)
        return StarFlowVPipelineOutput(frames=frames, deep=run.deep.cost, shallow=run.shallow.cost)

    def stream(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        guidance_scale: float | None = None,
        num_videos_per_prompt: int = 1,
        generator: Generator | Sequence[Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "np",
        max_sequence_length: int | None = None,
        frame_rate: int | None = None,
        solver: Solver | None = None,
        window: Window | None = None,
    ) -> Iterator[Any]:
        """Make videos and hand out their frames as soon as they exist: 1, then 4 at a time.

        The arguments and the frames are those of a call.

        Yields:
            "np": (B, f, H, W, 3), "pt": (B, f, 3, H, W), "pil": lists, "latent": (B, c, 1, h, w).
        """
        if getattr(self, "_all_hooks", None):
            raise ValueError(
                "streaming needs all models on the device at once, but model offload keeps one at "
                "a time: call the pipeline instead, or use enable_group_offload / "
                "enable_sequential_cpu_offload"
            )
        request = Request(
            prompt=prompt,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            num_frames=num_frames,
            guidance_scale=guidance_scale,
            num_videos_per_prompt=num_videos_per_prompt,
            generator=generator,
            latents=latents,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            output_type=output_type,
            frame_rate=frame_rate,
            solver=solver,
            window=window,
            max_sequence_length=max_sequence_length,
        )
        with torch.no_grad():
            run = self._prepare(request)
        return self._stream(run, output_type)

    @torch.no_grad()
    def _stream(self, run: Run, output_type: str) -> Iterator[Any]:
        if output_type == "latent":
            for frame in run.as_stream():
                yield frame.transpose(1, 2)
        else:
            for frames in self.codec.decode_stream(run.as_stream()):
                yield self._to_output(frames, output_type)

    def _check_callback_tensors(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self._callback_tensor_inputs]
        if unknown:
            raise ValueError(
                f"callbacks cannot be given {unknown}: choose from {self._callback_tensor_inputs}"
            )

    def _prepare(self, request: Request) -> Run:
        """Fill in what a request leaves open; only the text is computed yet."""
        plan = self._settle(request)
        self._guidance_scale, self._num_timesteps = plan.guidance.weight, plan.latent_frames
        self._interrupt = False
        text, null_text = self._texts(request, plan)
        denoiser = self.denoiser or ScoreDenoiser(self.flow, self.config["noise_std"])
        return Run(
            noise=self._noise(request, plan, videos=text.shape[0]),
            deep=DeepStage(
                self.flow,
                text,
                frames=plan.latent_frames,
                solver=plan.solver,
                null_text=null_text,
                guidance=plan.guidance,
                window=plan.window,
            ),
            shallow=ShallowStage(self.flow, plan.solver),
            denoise=DenoiseStage(denoiser, text, plan.window),
            text=text,
            null_text=null_text,
        )

    def _settle(self, request: Request) -> Plan:
        """The request with the model's own defaults where it says nothing."""
        defaults = self.defaults
        num_frames = self.whole_frames(given(request.num_frames, defaults.num_frames))
        latent_frames = self.codec.latent_frames(num_frames)
        return Plan(
            height=given(request.height, defaults.height),
            width=given(request.width, defaults.width),
            num_frames=num_frames,
            latent_frames=latent_frames,
            frame_rate=given(request.frame_rate, defaults.frame_rate),
            guidance=DensityGuidance(given(request.guidance_scale, defaults.guidance_scale)),
            solver=request.solver or SequentialSolver(),
            window=request.window or self.window_for(latent_frames),
        )

    def _texts(self, request: Request, plan: Plan) -> tuple[Tensor, Tensor | None]:
        """Embeddings (B, L, E) of the captions, and of the unconditional ones with guidance."""
        text, null_text = self.encode_prompt(
            request.prompt,
            request.negative_prompt,
            do_classifier_free_guidance=plan.guidance.active,
            num_videos_per_prompt=request.num_videos_per_prompt,
            prompt_embeds=request.prompt_embeds,
            negative_prompt_embeds=request.negative_prompt_embeds,
            max_sequence_length=request.max_sequence_length,
            conditions=self.conditions_for(
                height=plan.height,
                width=plan.width,
                num_frames=plan.num_frames,
                frame_rate=plan.frame_rate,
            ),
        )
        device = self._execution_device
        return text.to(device), None if null_text is None else null_text.to(device)

    def _noise(self, request: Request, plan: Plan, *, videos: int) -> Frames:
        """The noise of every frame, given or drawn."""
        shape = self._latent_shape(plan.height, plan.width)
        device = self._execution_device
        if request.latents is not None:
            expected = (videos, shape[0], plan.latent_frames, *shape[1:])
            return iter(to_noise_frames(request.latents, expected, device))
        children = seed_children(request.generator, videos)
        return noise_frames(children, shape, frames=plan.latent_frames, device=device)

    def _latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        multiple = self.size_multiple
        if height < 1 or width < 1 or height % multiple or width % multiple:
            down = [max(1, round(side / multiple)) * multiple for side in (height, width)]
            raise ValueError(
                f"height and width must be multiples of {multiple}, got {height}x{width}; "
                f"try {down[0]}x{down[1]}"
            )
        factor = self.codec.spatial_factor
        return int(self.flow.config["in_channels"]), height // factor, width // factor

    def _to_output(self, frames: Tensor, output_type: str) -> Any:
        """(B, F, 3, H, W) in [-1, 1] -> what the caller asked for."""
        video = frames.float().clamp(-1, 1).transpose(1, 2)
        return self.video_processor.postprocess_video(video, output_type=output_type)


StarFlowVPipeline.__module__ = "starflow_v"
