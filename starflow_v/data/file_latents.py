"""Files through the codec: shards of latents of a data set of videos and images.

Shard i of a task is made of the i-th stretch of its records, in order. A file that cannot be read
is left out, counted and named; when too many are, the build stops with the list of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from starflow_v.data.buckets import Size
from starflow_v.data.clip_reader import FileClips
from starflow_v.data.latent_cache import Encoded
from starflow_v.data.records import Record
from starflow_v.data.shards import digest
from starflow_v.data.task_latents import BATCH, encode_clips
from starflow_v.data.workers import Failure, WorkerPool
from starflow_v.vae import Codec

RECORDS_OF_A_SHARD = 64
NAMED = 20
"""Files that an error names; it counts the others."""

FilePool = WorkerPool[tuple[Record, str], FileClips]
"""Reads records for tasks."""


class SkippedFiles:
    """The files of a data set that cannot be read; `allowed`: how many before something is wrong
    with the data."""

    def __init__(self, *, allowed: int) -> None:
        self._allowed = allowed
        self.reasons: dict[str, str] = {}

    def add(self, name: str, reason: str) -> None:
        """One more.

        Raises:
            ValueError: if it is one too many.
        """
        self.reasons[name] = reason
        if len(self.reasons) > self._allowed:
            raise ValueError(
                f"{self.told()}. {self._allowed} are allowed: mend them or take them out, or raise "
                "data.max_skipped"
            )

    def add_all(self, found: Mapping[str, str]) -> None:
        """Those of shards that are there already."""
        for name, reason in found.items():
            self.add(name, reason)

    def told(self) -> str:
        """How many, which and why."""
        first = list(self.reasons.items())[:NAMED]
        named = [reason if name in reason else f"{name}: {reason}" for name, reason in first]
        more = len(self.reasons) - len(named)
        count = f"{len(self.reasons)} of the files could not be read"
        return f"{count} ({'; '.join(named)}{f'; and {more} more' if more else ''})"


class FileLatents:
    """A `LatentSource` of records.

    Args:
        records: the data set.
        codec: encodes their clips.
        pool: reads their files.
        fingerprint: says how clips are taken from files.
        skipped: keeps account of files that cannot be read.
    """

    def __init__(
        self,
        records: Sequence[Record],
        codec: Codec,
        *,
        pool: FilePool,
        fingerprint: str,
        skipped: SkippedFiles,
    ) -> None:
        self.fingerprint = fingerprint
        self._records, self._codec, self._pool = records, codec, pool
        self._skipped = skipped

    def shards(self, task: str) -> int:
        """How many shards a task has."""
        return shards_of(self._records, task)

    def made_of(self, task: str, index: int) -> str:
        """The names, sizes and captions of the shard's files."""
        return digest(record.identity() for record in self._stretch(task, index))

    def encode(self, task: str, index: int) -> Encoded:
        """The clips of a stretch of records."""
        records = self._stretch(task, index)
        sizes: defaultdict[Size, _Gathered] = defaultdict(lambda: _Gathered(self._codec, task))
        skipped: dict[str, str] = {}
        results = self._pool.map((record, task) for record in records)
        for record, read in zip(records, results, strict=True):
            if isinstance(read, Failure):
                self._skipped.add(record.name, read.reason)
                skipped[record.name] = read.reason
            else:
                sizes[read.size].add(read, list(record.captions))
        gathered = sorted(sizes.items())
        return Encoded(
            latents={size: it.latents() for size, it in gathered},
            captions={size: it.captions for size, it in gathered},
            skipped=skipped,
        )

    def _stretch(self, task: str, index: int) -> list[Record]:
        suited = [record for record in self._records if record.serves(task)]
        return suited[index * RECORDS_OF_A_SHARD : (index + 1) * RECORDS_OF_A_SHARD]


def shards_of(records: Sequence[Record], task: str) -> int:
    """How many shards the records of a task make."""
    return -(-sum(record.serves(task) for record in records) // RECORDS_OF_A_SHARD)


class _Gathered:
    """Clips of one size on their way through the codec, so that few of them are in memory."""

    def __init__(self, codec: Codec, task: str) -> None:
        self.captions: list[list[str]] = []
        self._codec, self._task = codec, task
        self._waiting: list[FileClips] = []
        self._latents: list[Tensor] = []

    def add(self, read: FileClips, captions: list[str]) -> None:
        self.captions += [captions] * len(read.clips)
        self._waiting.append(read)
        if sum(len(it.clips) for it in self._waiting) >= BATCH:
            self._flush()

    def latents(self) -> Tensor:
        """(n,T,c,h,w) of all that was added."""
        self._flush()
        return torch.cat(self._latents)

    def _flush(self) -> None:
        clips = [clip for read in self._waiting for clip in read.clips]
        sources = [clip for read in self._waiting for clip in read.sources or []]
        if clips:
            self._latents.append(encode_clips(self._codec, self._task, clips, sources))
        self._waiting = []
