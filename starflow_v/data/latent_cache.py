"""Latents on disk: every clip is encoded once, training reads what the codec said.

A cache is a folder of shards, see `shards`::

    cache.json                   what it was made with
    video-00000.safetensors      for each size, such as 48x80: latents (n,T,c,h,w), float16
                                 in the header: their captions; files that could not be read

The samples of one task and size are a bucket. Shards are mapped into memory, not read into it, so a
cache may be larger than the memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from starflow_v.data.buckets import Bucket, Size
from starflow_v.data.shards import Shard, ShardPlan, read_header, shard_path

CAPTIONS, SKIPPED = "captions", "skipped"


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Samples of one bucket."""

    bucket: Bucket
    latents: Tensor
    """(B,T,c,h,w), float32, as the flow sees the task."""
    captions: list[str]
    """One prompt for each sample, not yet wrapped."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a shard of latents is made from."""

    latents: Mapping[Size, Tensor]
    """(n,T,c,h,w) for each size."""
    captions: Mapping[Size, list[list[str]]]
    """One or more wordings of each sample's caption."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """File that could not be read -> why."""

    def shard(self) -> Shard:
        """As it is written."""
        return Shard(
            tensors={str(size): it.half() for size, it in self.latents.items()},
            header={
                CAPTIONS: {str(size): it for size, it in self.captions.items()},
                SKIPPED: dict(self.skipped),
            },
        )


class LatentSource(Protocol):
    """What latents are made of: scenes, a folder of files, shards of an archive."""

    fingerprint: str
    """Changes when any of its samples would be another one, but for those that `made_of` tells."""

    def shards(self, task: str) -> int:
        """How many shards a task has."""

    def made_of(self, task: str, index: int) -> str:
        """Changes when what a shard is made of does."""

    def encode(self, task: str, index: int) -> Encoded:
        """The samples of a shard, a pure function of its arguments."""


def latent_plan(source: LatentSource, task: str) -> ShardPlan:
    """How the shards of a task are made."""
    return ShardPlan(
        name=task,
        count=source.shards(task),
        make=lambda index: source.encode(task, index).shard(),
        made_of=lambda index: source.made_of(task, index),
    )


def skipped_files(folder: Path, plans: Iterable[ShardPlan]) -> dict[str, str]:
    """The files that could not be read, and why, by the shards that are there and up to date."""
    skipped: dict[str, str] = {}
    for plan in plans:
        missing = set(plan.missing(folder))
        for index in range(plan.count):
            if index not in missing:
                skipped |= read_header(shard_path(folder, plan.name, index)).get(SKIPPED, {})
    return skipped


class LatentCache:
    """Reads a cache: a batch is a pure function of (seed, step, sample numbers).

    Args:
        folder: the cache.
        weights: task -> how often it is drawn, relative to the others; its sizes are drawn as
            often as they have samples.
        shards: task -> how many of its shards are read.
        seed: with step and number, the source of all draws.
    """

    def __init__(
        self, folder: Path, weights: Mapping[str, float], shards: Mapping[str, int], *, seed: int
    ) -> None:
        self._seed = seed
        self._buckets: dict[Bucket, _Samples] = {}
        shares: list[float] = []
        for task, weight in weights.items():
            if weight <= 0:
                continue
            samples = _task_samples(folder, task, shards[task])
            total = sum(len(it) for it in samples.values())
            if not total:
                raise ValueError(f"the cache {folder} has no sample of the task {task}")
            self._buckets |= {Bucket(task, size): it for size, it in samples.items()}
            shares += [weight * len(it) / total for it in samples.values()]
        self._shares = np.array(shares) / sum(shares)

    def sizes(self) -> dict[Bucket, int]:
        """Samples of each bucket."""
        return {bucket: len(samples) for bucket, samples in self._buckets.items()}

    def captions(self) -> Iterator[tuple[Bucket, str]]:
        """Every wording of every caption, with its bucket."""
        for bucket, samples in self._buckets.items():
            for wordings in samples.captions:
                yield from ((bucket, wording) for wording in wordings)

    def batch(self, step: int, numbers: Sequence[int]) -> LatentBatch:
        """Some samples of a step's batch; the whole step draws from one bucket, by weight."""
        rng = np.random.default_rng([self._seed, step])
        return self._drawn(int(rng.choice(len(self._buckets), p=self._shares)), step, numbers)

    def of_heaviest_bucket(self, numbers: Sequence[int]) -> LatentBatch:
        """Some samples of the bucket that is drawn most often."""
        return self._drawn(int(self._shares.argmax()), 0, numbers)

    def _drawn(self, place: int, step: int, numbers: Sequence[int]) -> LatentBatch:
        """Samples of one bucket."""
        bucket, samples = list(self._buckets.items())[place]
        latents, captions = [], []
        for number in numbers:
            latent, caption = samples.draw(np.random.default_rng([self._seed, step, number]))
            latents.append(latent)
            captions.append(caption)
        return LatentBatch(bucket=bucket, latents=torch.stack(latents), captions=captions)


class _Samples:
    """The samples of one bucket, over its shards."""

    def __init__(self) -> None:
        self.captions: list[list[str]] = []
        self._rows: list[Any] = []
        self._ends: list[int] = []

    def add(self, rows: Any, captions: list[list[str]]) -> None:
        """One more shard: its latents, still on the disk, and their captions."""
        self.captions += captions
        self._rows.append(rows)
        self._ends = list(accumulate(it.get_shape()[0] for it in self._rows))

    def __len__(self) -> int:
        return len(self.captions)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, str]:
        """Latents (T,c,h,w), float32, and one wording of the caption."""
        place = int(rng.integers(len(self)))
        wordings = self.captions[place]
        shard = bisect_right(self._ends, place)
        before = self._ends[shard - 1] if shard else 0
        latents: Tensor = self._rows[shard][place - before]
        return latents.float(), wordings[int(rng.integers(len(wordings)))]


def _task_samples(folder: Path, task: str, count: int) -> dict[Size, _Samples]:
    """The first shards of one task, by size."""
    paths = [shard_path(folder, task, index) for index in range(count)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"the cache {folder} lacks {', '.join(missing)}: build it first")
    found: dict[Size, _Samples] = {}
    for path in paths:
        captions = read_header(path)[CAPTIONS]
        shard = safe_open(path, framework="pt")
        for name in sorted(captions):
            samples = found.setdefault(Size.parse(name), _Samples())
            samples.add(shard.get_slice(name), captions[name])
    return dict(sorted(found.items()))
