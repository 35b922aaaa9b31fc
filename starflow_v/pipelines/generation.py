"""How every pipeline makes its videos: a request is settled into a plan, the plan becomes a run.

A task is what is known beforehand. `StarFlowVPipeline` knows nothing, `image_to_video` an image,
`extension` a clip; each file has its task's signatures and its `Known`, and all else is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TypeAlias

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from torch import Tensor, nn

from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.guidance import DensityGuidance
from starflow_v.flow.solver import SequentialSolver, SlidingSolver, Solver
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import ContextWindow
from starflow_v.nn.storage import CacheStorage
from starflow_v.pipelines.known import Known, nothing_known, put_back
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.request import Plan, Request, given
from starflow_v.pipelines.run import AnyRun, Run
from starflow_v.pipelines.telling import TellingPipeline
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.sampling.overlap import Stages, close, usual_stages
from starflow_v.sampling.saved import LatentsSink
from starflow_v.sampling.stages import DeepStage, DenoiseStage, Frames, ShallowStage
from starflow_v.text import Task

Callback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any] | None]
AnyCallback: TypeAlias = Callback | PipelineCallback | MultiPipelineCallbacks

FINE_FRAME = 64
"""Tokens of a frame from which on many are solved at a time."""


class GeneratingPipeline(TellingPipeline):
    """From a request and known frames to a video, at once or frame by frame."""

    latents_sink: LatentsSink | None = None
    """Given every clean latent frame before it is decoded."""

    def set_cache_storage(self, storage: CacheStorage) -> None:
        """How flow and denoiser keep keys and values from now on, see `starflow_v.nn.storage`.

        In 8 bits (`Int8Storage()`) they take little more than half of bfloat16's memory.
        """
        for part in (self.flow, self.denoiser):
            if isinstance(part, StarFlowModel | CausalDenoiser):
                part.set_cache_storage(storage)

    def _plan(self, request: Request) -> Plan:
        """The request with the model's own defaults where it says nothing; it checks sizes."""
        defaults = self.defaults
        num_frames = self.whole_frames(given(request.num_frames, defaults.num_frames))
        latent_frames = self.codec.latent_frames(num_frames)
        height = given(request.height, defaults.height)
        width = given(request.width, defaults.width)
        usual = DensityGuidance(given(request.guidance_scale, defaults.guidance_scale))
        self._latent_shape(height, width)
        return Plan(
            request=request,
            height=height,
            width=width,
            num_frames=num_frames,
            latent_frames=latent_frames,
            frame_rate=given(request.frame_rate, defaults.frame_rate),
            guidance=request.guidance or usual,
            solver=request.solver or self.solver_for(height, width),
            window=request.window or self.window_for(latent_frames),
            extends=self.extends,
        )

    def solver_for(self, height: int, width: int) -> Solver:
        """The solver where none is asked for: a sliding one, unless frames are so small that token
        by token is as fast, and exact."""
        side = self.flow.config["patch_size"]
        _, rows, columns = self._latent_shape(height, width)
        fine = rows * columns >= FINE_FRAME * side**2
        return SlidingSolver() if fine else SequentialSolver()

    def _sized(self, request: Request, size: tuple[int, ...]) -> Request:
        """The request at the size that is nearest to (height, width), unless it asks for one."""
        if request.height is not None or request.width is not None:
            return request
        height, width = self.nearest_size(*size)
        return replace(request, height=height, width=width)

    def _need_task(self, task: Task, purpose: str) -> None:
        """Refuse what the model was not trained for."""
        tasks = self.config["tasks"]
        if task not in tasks:
            raise ValueError(
                f"this model was not trained to {purpose} (its tasks are {', '.join(tasks)}; it "
                f"would need {task})"
            )

    def _call(
        self,
        plan: Plan,
        known: Known | None = None,
        *,
        return_dict: bool,
        callback: AnyCallback | None,
        callback_tensors: Sequence[str],
    ) -> StarFlowVPipelineOutput | tuple[object]:
        """The body of every `__call__`: stage by stage, with callbacks."""
        if isinstance(callback, PipelineCallback | MultiPipelineCallbacks):
            callback_tensors = callback.tensor_inputs
        self._check_callback_tensors(callback_tensors)
        run = self._begin_run(plan, known)
        cleaned = list(run.shown.split(1, dim=1)) if run.shown.shape[1] else []
        with self.progress_bar(total=self.num_timesteps) as progress:
            for step, frame in enumerate(run.stage_by_stage(progress.update)):
                cleaned.append(frame)
                if callback is not None:
                    tensors: dict[str, Any] = {
                        "latents": torch.cat(cleaned, dim=1).transpose(1, 2),
                        "prompt_embeds": run.text,
                        "negative_prompt_embeds": run.null_text,
                    }
                    passed = {name: tensors[name] for name in callback_tensors}
                    returned = callback(self, step, step, passed) or {}
                    changed = returned.get("latents", tensors["latents"])
                    cleaned = list(changed.transpose(1, 2).split(1, dim=1))
                if self.interrupt:
                    break
        clean = torch.cat(list(self._saved(iter(cleaned), run)), dim=1)
        if plan.request.output_type == "latent":
            frames: object = clean.transpose(1, 2)
        else:
            pixels = put_back(run.kept, self.codec.decode(clean))[:, run.hidden :]
            frames = self._to_output(pixels, plan.request.output_type)
        self.maybe_free_model_hooks()
        if not return_dict:
            return (frames,)
        deep, shallow = run.costs
        return StarFlowVPipelineOutput(frames=frames, deep=deep, shallow=shallow)

    def _stream(self, plan: Plan, known: Known | None = None) -> Iterator[Any]:
        """The body of every `stream`: it checks and prepares at once, and makes frames as asked."""
        self._refuse_to_stream_offloaded()
        with torch.no_grad():
            run = self._begin_run(plan, known)
        models = [part for part in self.components.values() if isinstance(part, nn.Module)]
        stages = plan.request.stages or usual_stages(models, self._execution_device)
        return self._stream_run(run, stages, plan.request.output_type)

    @torch.no_grad()
    def _stream_run(self, run: AnyRun, stages: Stages, output_type: str) -> Iterator[Any]:
        made = run.as_stream(stages)
        try:
            yield from self._outputs(made, run, output_type)
        finally:
            close(made)

    def _outputs(self, made: Frames, run: AnyRun, output_type: str) -> Iterator[Any]:
        """Clean latents that are made -> what the caller asked for, known frames first."""
        shown = run.shown.split(1, dim=1) if run.shown.shape[1] else ()
        clean = self._saved(chain(shown, made), run)
        if output_type == "latent":
            for frame in clean:
                yield frame.transpose(1, 2)
            return
        first = 0
        for frames in self.codec.decode_stream(clean):
            hidden = max(0, run.hidden - first)
            if hidden < frames.shape[1]:
                pixels = put_back(run.kept, frames, first=first)[:, hidden:]
                yield self._to_output(pixels, output_type)
            first += frames.shape[1]

    def _saved(self, clean: Frames, run: AnyRun) -> Frames:
        """The same frames, each told to the sink, if there is one, before it is decoded."""
        total = run.shown.shape[1] + run.frames
        for frame in clean:
            if self.latents_sink is not None:
                self.latents_sink.write(frame, total=total, hidden=run.hidden)
            yield frame

    def _refuse_to_stream_offloaded(self) -> None:
        if getattr(self, "_all_hooks", None):
            raise ValueError(
                "streaming needs all models on the device at once, but model offload keeps one at "
                "a time: call the pipeline instead, or use enable_group_offload / "
                "enable_sequential_cpu_offload"
            )

    def _check_callback_tensors(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self._callback_tensor_inputs]
        if unknown:
            raise ValueError(
                f"callbacks cannot be given {unknown}: choose from {self._callback_tensor_inputs}"
            )

    def _begin_run(self, plan: Plan, known: Known | None) -> AnyRun:
        """What `_call` and `_stream` go through."""
        return self._prepare(plan, known)

    def _prepare(self, plan: Plan, known: Known | None) -> Run:
        """The stages of a plan; the text is computed and the known frames are noised."""
        texts = self._texts(plan, plan.task)
        assert texts.text is not None
        videos = texts.text.shape[0]
        if known is None:
            shape = self._latent_shape(plan.height, plan.width)
            known = nothing_known(shape, self._execution_device)
        known = known.for_videos(videos)
        made = plan.latent_frames - known.shown.shape[1]
        self._announce(plan, made)
        noise = self._noise(plan, known.prefix.shape[1] + made, videos=videos)
        return self._run(plan, known, texts, noise)

    def _announce(self, plan: Plan, steps: int) -> None:
        """A call begins: what callbacks may ask of it."""
        self._guidance_scale, self._num_timesteps = plan.guidance.weight, steps
        self._interrupt = False

    def _run(self, plan: Plan, known: Known, texts: Texts, noise: Frames) -> Run:
        """The stages that go on from known frames, which are noised here.

        Args:
            plan: how; its latent frames are those shown and those made.
            known: of as many videos as there are texts.
            texts: what the model is told.
            noise: of every frame in order, known ones first.
        """
        assert texts.text is not None
        device = self._execution_device
        before, made = known.prefix.shape[1], plan.latent_frames - known.shown.shape[1]
        prefix = self._noised(known.prefix.to(device), noise)
        total = before + made
        later = self._later(plan, first=known.shown.shape[1] - before, hidden=known.hidden)
        window, temperature = plan.window, plan.request.temperature
        return Run(
            noise=(temperature * z for z in noise),
            deep=DeepStage(
                self.flow,
                texts.text,
                frames=total,
                solver=plan.solver,
                null_text=texts.null_text,
                guidance=plan.guidance,
                prefix=prefix,
                window=window,
                restart=later,
            ),
            shallow=ShallowStage(self.flow, plan.solver),
            denoise=DenoiseStage(
                self.cleaner,
                texts.text,
                window or (ContextWindow(total, 0) if plan.request.retold else None),
                prefix=prefix,
                later=later,
            ),
            text=texts.text,
            null_text=texts.null_text,
            frames=made,
            shown=known.shown.to(device),
            hidden=known.hidden,
            kept=known.kept,
            most=None if window is None else window.frames,
        )

    def _noised(self, clean: Tensor, noise: Frames) -> Tensor | None:
        """Known latents (B, P, c, h, w) as noisy as the flow models them; `None` if P = 0.

        The noise that is added is that of their places in the run, the first P frames of `noise`.
        """
        if clean.shape[1] == 0:
            return None
        eps = torch.cat(list(islice(noise, clean.shape[1])), dim=1)
        return self.noised(clean, eps)

    def _noise(self, plan: Plan, frames: int, *, videos: int) -> Frames:
        """The noise of every frame, known or made; given or drawn."""
        shape = self._latent_shape(plan.height, plan.width)
        device = self._execution_device
        given_noise = plan.request.latents
        if given_noise is not None:
            expected = (videos, shape[0], frames, *shape[1:])
            return iter(_to_noise_frames(given_noise, expected, device))
        children = seed_children(plan.request.generator, videos)
        return noise_frames(children, shape, frames=frames, device=device)

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


def _to_noise_frames(
    latents: Tensor, expected: tuple[int, ...], device: torch.device
) -> list[Tensor]:
    """Given noise in diffusers' layout (B, c, T, h, w) -> frames (B, 1, c, h, w), float32."""
    if tuple(latents.shape) != expected:
        raise ValueError(
            f"latents of shape {tuple(latents.shape)} were given for a video whose noise has shape "
            f"{expected}: (videos, channels, latent frames, height, width)"
        )
    frames = latents.to(device, torch.float32).transpose(1, 2)
    return list(frames.split(1, dim=1))
