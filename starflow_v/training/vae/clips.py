"""Clips of scenes as the codec is trained and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from starflow_v.data.pixels import Clip, to_frames
from starflow_v.data.scenes import Sample, SceneStream, StreamSettings, TaskWeights

HELD_OUT_SEED = 77

HARD_SHAPES = {("star", "small"), ("star", "big"), ("square", "small")}
"""Shapes and sizes whose corners a blurred picture loses first."""
TRIES = 8


def sample_hard(stream: SceneStream, index: int) -> Sample:
    """A sample with corners that are hard to keep, sought among eight that belong to `index`."""
    sample = stream.sample(TRIES * index)
    for other in range(1, TRIES):
        if any((it.shape, it.size) in HARD_SHAPES for it in sample.scene.objects):
            break
        sample = stream.sample(TRIES * index + other)
    return sample


def choose_stretch(rng: np.random.Generator, sample: Sample, num_frames: int) -> Clip:
    """Consecutive frames from anywhere in a sample's clip, or in what an edit starts from."""
    use_source = rng.uniform() < 0.5
    clip = sample.source if use_source and sample.source is not None else sample.frames
    start = int(rng.integers(0, len(clip) - num_frames + 1))
    return clip[start : start + num_frames]


def held_out_clips(data: StreamSettings, *, count: int, batch: int) -> Iterator[Tensor]:
    """Clips (B,F,3,H,W) of scenes that training never shows."""
    videos = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    stream = SceneStream(HELD_OUT_SEED, replace(data, tasks=videos), held_out=True)
    for first in range(0, count, batch):
        numbers = range(first, min(first + batch, count))
        yield to_frames([stream.sample(number).frames for number in numbers])
