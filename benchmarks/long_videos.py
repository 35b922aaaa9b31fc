"""Videos of several times the trained length: how an arrangement makes them, how they hold.

`Stream` puts the stages of `starflow_v.sampling` in a row as the pipelines do, with the shallow
half of an arrangement among them. `drift` asks of its videos whether the end is still what the
caption told and the beginning showed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from arrangements import Arrangement
from embedded_quality import SEED
from numpy.typing import NDArray
from torch import Generator, Tensor

from starflow_v import ContextWindow, DensityGuidance, SequentialSolver, StarFlowVPipeline
from starflow_v.data.pixels import to_clips
from starflow_v.data.scenes import (
    Attributes,
    SceneStream,
    StreamSettings,
    TaskWeights,
    canonical_caption,
    parse_caption,
)
from starflow_v.evaluation.scene_checker import compare, read_scene
from starflow_v.flow.solver import Cost
from starflow_v.flow.texts import Texts
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.sampling.stages import DeepStage, DenoiseStage
from starflow_v.text import Task

FRAMES = 17
"""Pixel frames of a clip in training."""
LONGER = 5
STAYING = ("bounces", "still")
LASTING = ("color", "shape", "size", "background")
TOLD = ("color", "shape", "background")
Clip = NDArray[np.uint8]
Captioned = tuple[Clip, str]


class Stream:
    """A long video of each caption, handed out as it is made.

    Args:
        arrangement: how the model is arranged.
        pipe: the model.
        captions: prompts.
        seed: of the first video; the next ones follow.
        num_frames: pixel frames.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        pipe: StarFlowVPipeline,
        captions: Sequence[str],
        *,
        seed: int,
        num_frames: int,
    ) -> None:
        self.cost = Cost()
        self._arrangement, self._pipe, self._captions = arrangement, pipe, list(captions)
        self._num_frames = num_frames
        generators = [Generator().manual_seed(seed + index) for index in range(len(captions))]
        self._children = seed_children(generators, len(captions))

    @torch.no_grad()
    def __iter__(self) -> Iterator[Tensor]:
        """Frames (B, f, 3, H, W) in [-1, 1]."""
        for num_frames in self._arrangement.clips(self._num_frames, FRAMES):
            yield from self._clip(num_frames)

    def _clip(self, num_frames: int) -> Iterator[Tensor]:
        pipe, size, solver = self._pipe, self._pipe.defaults, SequentialSolver()
        frames, factor = pipe.codec.latent_frames(num_frames), pipe.codec.spatial_factor
        restarts = pipe.window_for(frames)
        told = self._texts(None)
        again = self._texts("extend") if restarts is not None and pipe.extends else None
        shallow, window = self._arrangement.sampler(
            pipe.flow, solver, restarts or ContextWindow(frames, 0)
        )
        deep = DeepStage(
            pipe.flow,
            told.text,
            frames,
            solver,
            null_text=told.null_text,
            guidance=DensityGuidance(size.guidance_scale),
            window=window,
            restart=again,
        )
        denoise = DenoiseStage(pipe.denoiser, told.text, restarts, later=again)
        shape = (pipe.codec.channels, size.height // factor, size.width // factor)
        noise = noise_frames(self._children, shape, frames=frames, device=pipe.device)
        before = self.cost
        for pixels in pipe.codec.decode_stream(denoise(shallow(deep(noise)))):
            self.cost = before + deep.cost + shallow.cost
            yield pixels

    def _texts(self, task: Task | None) -> Texts:
        conditions = self._pipe.conditions_for(task=task)
        return Texts(*self._pipe.encode_prompt(self._captions, conditions=conditions))


def lasting(count: int) -> list[Captioned]:
    """Held-out scenes of 5 times the length whose object stays in the picture; their captions."""
    alone = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    settings = StreamSettings(num_frames=LONGER * FRAMES, tasks=alone, two_objects=0.0)
    stream = SceneStream(SEED + 2, settings, held_out=True)
    samples = (stream.sample(index) for index in itertools.count())
    told = ((sample.frames, canonical_caption(sample.scene)) for sample in samples)
    staying = (it for it in told if parse_caption(it[1]).motion in STAYING)
    return list(itertools.islice(staying, count))


def drift(
    arrangement: Arrangement, pipe: StarFlowVPipeline, captions: Sequence[str], *, batch: int = 10
) -> dict[str, Any]:
    """How the end of a long video compares with its beginning."""
    clips: list[Clip] = []
    for first in range(0, len(captions), batch):
        some = captions[first : first + batch]
        stream = Stream(arrangement, pipe, some, seed=SEED + first, num_frames=LONGER * FRAMES)
        clips += list(to_clips(torch.cat(list(stream), dim=1)))
    return compare_ends(list(zip(clips, captions, strict=True)))


def compare_ends(made: Sequence[Captioned]) -> dict[str, Any]:
    """First against last second (8 frames) of clips (F, H, W, 3)."""
    ends = [(read_scene(clip[:8]), read_scene(clip[-8:])) for clip, _ in made]
    told = [parse_caption(caption) for _, caption in made]
    return {
        "first_second": _right([first for first, _ in ends], told),
        "last_second": _right([last for _, last in ends], told),
        "same": float(np.mean([_same(first, last) for first, last in ends])),
        "jump": float(np.median([_jump(clip) for clip, _ in made])),
    }


def _jump(clip: Clip) -> float:
    return float(np.abs(np.diff(clip.astype(float), axis=0)).mean((1, 2, 3)).max())


def _right(seen: Sequence[Attributes], told: Sequence[Attributes]) -> dict[str, float]:
    verdicts = [compare(*pair) for pair in zip(seen, told, strict=True)]
    shares = {name: [getattr(it, name) is not False for it in verdicts] for name in TOLD}
    every = [all(row) for row in zip(*shares.values(), strict=True)]
    return {name: float(np.mean(row)) for name, row in {**shares, "all": every}.items()}


def _same(first: Attributes, last: Attributes) -> bool:
    return all(getattr(first, name) == getattr(last, name) for name in LASTING)
