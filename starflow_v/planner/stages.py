"""The stages of a run, traced on a model without weights.

    text -> deep -> shallow -> denoise -> decode

The real modules run, guidance and caches included. Of the many evaluations of a solver two are
measured, with nothing and with everything before them: what one takes grows evenly with the tokens
that it attends to. How many there are a `Scheme` says.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from starflow_v.flow.guidance import DensityGuidance
from starflow_v.flow.window import ContextWindow
from starflow_v.nn.cache import AS_THEY_COME
from starflow_v.nn.storage import CacheStorage
from starflow_v.pipelines.windows import window_sizes
from starflow_v.planner.blueprint import Blueprint
from starflow_v.planner.devices import Device
from starflow_v.planner.probe import MeasuringSolver, measure_ends
from starflow_v.planner.schemes import Effort, Scheme
from starflow_v.planner.trace import Trace, Work, tracing
from starflow_v.sampling.stages import DenoiseStage, Frames, ShallowStage, gather

STAGES = ("text", "deep", "shallow", "denoise", "decode")
META = torch.device("meta")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be made.

    Args:
        height: pixels.
        width: pixels.
        num_frames: pixel frames.
        guidance: w; above 0 the deep block works on twice the batch.
        batch: videos side by side.
    """

    height: int
    width: int
    num_frames: int
    guidance: float
    batch: int = 1

    @classmethod
    def of(
        cls,
        blueprint: Blueprint,
        *,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        guidance: float | None = None,
        batch: int = 1,
    ) -> Job:
        """What is not given is as the model was trained."""
        settings = blueprint.settings
        return cls(
            height=settings["height"] if height is None else height,
            width=settings["width"] if width is None else width,
            num_frames=settings["num_frames"] if num_frames is None else num_frames,
            guidance=settings["guidance_scale"] if guidance is None else guidance,
            batch=batch,
        )


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What a stage takes.

    Args:
        calls: the work of one call of the network, and how many there are of its kind.
        peak: bytes that live at the same time, weights aside.
        kept: those of them that live as long as the stream: caches and the codec's memory.
    """

    calls: tuple[tuple[Work, float], ...]
    peak: int
    kept: int = 0

    @property
    def work(self) -> Work:
        """All of it."""
        return sum((work * times for work, times in self.calls), Work())

    @property
    def evaluations(self) -> float:
        """Calls of the network."""
        return sum(times for _, times in self.calls)

    def seconds(self, device: Device, dtype: torch.dtype) -> float:
        """Every call at its own limit: bytes, FLOPs or kernels."""
        return sum(device.seconds(work, dtype) * times for work, times in self.calls)


class Planner:
    """The stages of a job on a model without weights, each traced when it is asked for, once.

    Args:
        blueprint: the model, in the precision that it computes in.
        job: what is made.
    """

    def __init__(self, blueprint: Blueprint, job: Job) -> None:
        self.blueprint, self.job = blueprint, job
        self._check_size()
        self._frames = blueprint.codec.latent_frames(job.num_frames)
        settings = blueprint.settings
        long = self._frames > settings["window_frames"]
        self._window = ContextWindow(*window_sizes(settings)) if long else None
        self._traced: dict[Hashable, StageCost] = {}

    def stages(
        self, scheme: Scheme, *, storage: CacheStorage = AS_THEY_COME, whole: bool = False
    ) -> dict[str, StageCost]:
        """What each stage takes.

        Args:
            scheme: how often the flow is evaluated.
            storage: how caches are kept.
            whole: stage after stage, as a call of the pipeline; otherwise frame by frame.
        """
        deep, shallow = scheme.deep, scheme.shallow
        with torch.no_grad(), self._kept_in(storage):
            return {
                "text": self._once(("text",), self._text),
                "deep": self._once(("deep", deep, storage), lambda: self._deep(deep)),
                "shallow": self._once(
                    ("shallow", shallow, storage, whole), lambda: self._shallow(shallow, whole)
                ),
                "denoise": self._once(("denoise", storage), self._denoise),
                "decode": self._once(("decode", whole), lambda: self._decode(whole)),
            }

    @contextmanager
    def _kept_in(self, storage: CacheStorage) -> Iterator[None]:
        """The model's caches in a storage, for a while."""
        models = [it for it in (self.blueprint.flow, self.blueprint.denoiser) if it is not None]
        for model in models:
            model.set_cache_storage(storage)
        try:
            yield
        finally:
            for model in models:
                model.set_cache_storage(AS_THEY_COME)

    def _once(self, key: Hashable, trace: Callable[[], StageCost]) -> StageCost:
        if key not in self._traced:
            self._traced[key] = trace()
        return self._traced[key]

    def _text(self) -> StageCost:
        """The captions, and with guidance the negative ones after them."""
        shape = (self.job.batch, self.blueprint.settings["text_length"])
        ids = torch.zeros(shape, dtype=torch.long, device=META)
        with tracing() as trace:
            hidden = self.blueprint.text_encoder(ids).last_hidden_state
        del hidden
        return StageCost(calls=((trace.work, 2.0 if self.job.guidance else 1.0),), peak=trace.peak)

    def _deep(self, effort: Effort) -> StageCost:
        """z -> u, frame by frame, behind what the window holds."""
        flow = self.blueprint.flow
        latents = next(self._latents(1))
        grid = flow.grid(latents)
        held = self._frames if self._window is None else self._window.frames
        with tracing() as trace:
            text = self._embeddings()
            predictor = flow.deep.predictor(
                text,
                grid,
                frames=held,
                device=META,
                null_text=text,
                guidance=DensityGuidance(self.job.guidance) if text is not None else None,
            )
            read = trace.work
            noise = flow.to_tokens(latents)[:, 0].repeat(1, held, 1)
            first, last, span = measure_ends(trace, predictor, noise, min(effort.span, grid.tokens))
            kept = trace.live - noise.untyped_storage().nbytes()
        calls = [(read, 1.0)]
        for position in self._positions():
            place = (position + 0.5) / held
            calls.append((first * (1 - place) + last * place, effort.passes * grid.tokens / span))
        return StageCost(calls=tuple(calls), peak=trace.peak, kept=kept)

    def _positions(self) -> Iterator[int]:
        """Where in the window each latent frame is made."""
        place = 0
        for _ in range(self._frames):
            if self._window is not None and place == self._window.frames:
                place = self._window.overlap
            yield place
            place += 1

    def _shallow(self, effort: Effort, whole: bool) -> StageCost:
        """u -> x, one frame at a time, or those of a window side by side."""
        together = self._frames if self._window is None else self._window.frames
        few = together if whole else 1

        def stage(trace: Trace, calls: list[tuple[Work, float]]) -> Frames:
            solver = MeasuringSolver(trace, effort, calls)
            return ShallowStage(self.blueprint.flow, solver)(gather(self._latents(few)))

        cost = _run(stage)
        times = self._frames / few
        calls = tuple((work, count * times) for work, count in cost.calls)
        return StageCost(calls=calls, peak=cost.peak)

    def _denoise(self) -> StageCost:
        """Noisy latents -> clean ones; a video longer than two windows is like one of two."""
        model = self.blueprint
        denoiser, window = model.cleaner, model.settings["window_frames"]
        waits = denoiser.lookahead > self._frames
        few = self._frames if waits else min(self._frames, 2 * window)

        def stage(trace: Trace, calls: list[tuple[Work, float]]) -> Frames:
            return DenoiseStage(denoiser, self._embeddings(), self._window)(self._latents(few))

        cost = _run(stage)
        calls = tuple((work * (1 / few), times * self._frames) for work, times in cost.calls)
        return StageCost(calls=calls, peak=cost.peak, kept=cost.kept)

    def _decode(self, whole: bool) -> StageCost:
        """Clean latents -> frames; a call holds them three times: in pieces, joined, as floats."""
        few = min(self._frames, 3)
        calls = []
        with tracing() as trace:
            before = trace.work
            for frames in self.blueprint.codec.decode_stream(self._latents(few)):
                calls.append((trace.work - before, 1.0))
                before = trace.work
                del frames
                kept = trace.live
        calls[-1] = (calls[-1][0], float(self._frames - few + 1))
        job = self.job
        output = 3 * job.batch * job.num_frames * job.height * job.width * 3 * 4 if whole else 0
        return StageCost(calls=tuple(calls), peak=trace.peak + output, kept=kept)

    def _embeddings(self) -> Tensor | None:
        """Embeddings of the captions, (B, L, E)."""
        width = self.blueprint.flow.config["text_dim"]
        if width is None:
            return None
        length = self.blueprint.settings["text_length"]
        dtype = next(self.blueprint.text_encoder.parameters()).dtype
        return torch.empty(self.job.batch, length, width, device=META, dtype=dtype)

    def _latents(self, count: int | None = None) -> Iterator[Tensor]:
        """Latent frames (B, 1, c, h, w), float32 as the noise is."""
        factor = self.blueprint.codec.spatial_factor
        channels = self.blueprint.flow.config["in_channels"]
        size = (self.job.height // factor, self.job.width // factor)
        for _ in range(self._frames if count is None else count):
            yield torch.empty(self.job.batch, 1, channels, *size, device=META)

    def _check_size(self) -> None:
        factor = self.blueprint.codec.spatial_factor * self.blueprint.flow.config["patch_size"]
        if self.job.height % factor or self.job.width % factor:
            raise ValueError(
                f"height and width must be multiples of {factor}, got "
                f"{self.job.height}x{self.job.width}"
            )


def _run(stage: Callable[[Trace, list[tuple[Work, float]]], Frames]) -> StageCost:
    """Run a stage to its end; what it does outside of measured calls is one call more."""
    calls: list[tuple[Work, float]] = []
    with tracing() as trace:
        kept = 0
        for frames in stage(trace, calls):
            del frames
            kept = max(kept, trace.live)
    if trace.work.kernels:
        calls.append((trace.work, 1.0))
    return StageCost(calls=tuple(calls), peak=trace.peak, kept=kept)
