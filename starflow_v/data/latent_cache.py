"""Latents on disk: every clip is encoded once, training reads what the codec said.

A cache is a folder of shards. A shard holds samples of one *bucket*: one task and one shape of
latents, so that any of them can share a batch::

    cache.json                   what it was made with
    video-00000.safetensors      latents (n, T, c, h, w), float16; captions as JSON in the header

A shard is whole or absent, so an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

INDEX = "cache.json"


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Samples of one bucket.

    Args:
        bucket: the task: "video", "image", "extend", "last" or "v2v".
        latents: (B, T, c, h, w), float32, as the flow sees the task.
        captions: one prompt for each sample, not yet wrapped.
    """

    bucket: str
    latents: Tensor
    captions: list[str]


Encoded = tuple[Tensor, list[list[str]]]
"""Latents (n, T, c, h, w) of a shard, and one or more wordings of each sample's caption."""


def build_shards(
    folder: Path,
    bucket: str,
    count: int,
    encode: Callable[[int], Encoded],
    *,
    fingerprint: str,
) -> int:
    """Write the shards of a bucket that are missing.

    Args:
        folder: the cache; made if it is not there.
        bucket: name of the bucket.
        count: number of shards.
        encode: makes shard i, a pure function of i.
        fingerprint: says what the latents depend on, see `check_fingerprint`.

    Returns:
        How many shards were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_fingerprint(folder, fingerprint)
    written = 0
    for index in range(count):
        path = shard_path(folder, bucket, index)
        if path.exists():
            continue
        latents, captions = encode(index)
        part = path.with_suffix(f".{os.getpid()}.part")
        header = {"captions": json.dumps(captions)}
        save_file({"latents": latents.half().contiguous()}, part, metadata=header)
        part.replace(path)
        written += 1
    return written


def shard_path(folder: Path, bucket: str, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"{bucket}-{index:05d}.safetensors"


def folder_fingerprint(folder: str | Path) -> str:
    """Names a saved model: the hash of its configuration and weights."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".json", ".safetensors"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_fingerprint(folder: Path, fingerprint: str) -> None:
    """Refuse a cache whose latents depend on something else; sign a new one.

    Raises:
        ValueError: if the cache bears another fingerprint.
    """
    index = folder / INDEX
    if not index.exists():
        part = index.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps({"made_with": fingerprint}))
        part.replace(index)
    made_by = json.loads(index.read_text())["made_with"]
    if made_by != fingerprint:
        raise ValueError(
            f"the cache {folder} was made with something else ({made_by}; wanted {fingerprint}): "
            "delete it, or give another folder"
        )


class LatentCache:
    """Reads a cache: a batch is a pure function of (seed, step, sample numbers).

    Args:
        folder: the cache.
        weights: bucket -> how often it is drawn, relative to the others.
        shards: bucket -> how many of its shards are read.
        seed: with step and number, the source of all draws.
    """

    def __init__(
        self, folder: Path, weights: dict[str, float], shards: dict[str, int], *, seed: int
    ) -> None:
        self._buckets = {
            name: _Bucket(folder, name, shards[name]) for name, w in weights.items() if w > 0
        }
        shares = np.array([weights[name] for name in self._buckets])
        self._shares = shares / shares.sum()
        self._seed = seed

    def sizes(self) -> dict[str, int]:
        """Samples of each bucket."""
        return {name: len(bucket) for name, bucket in self._buckets.items()}

    def batch(self, step: int, numbers: Sequence[int]) -> LatentBatch:
        """Some samples of a step's batch; the whole step draws from one bucket, by weight."""
        rng = np.random.default_rng([self._seed, step])
        name = str(rng.choice(list(self._buckets), p=self._shares))
        bucket = self._buckets[name]
        latents, captions = [], []
        for number in numbers:
            latent, caption = bucket.draw(np.random.default_rng([self._seed, step, number]))
            latents.append(latent)
            captions.append(caption)
        return LatentBatch(bucket=name, latents=torch.stack(latents), captions=captions)


class _Bucket:
    """The first shards of one bucket."""

    def __init__(self, folder: Path, name: str, shards: int) -> None:
        paths = [shard_path(folder, name, index) for index in range(shards)]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise ValueError(f"the cache {folder} lacks {', '.join(missing)}: build it first")
        latents: list[Tensor] = []
        self._captions: list[list[str]] = []
        for path in paths:
            with safe_open(path, framework="pt") as shard:
                latents.append(shard.get_tensor("latents"))
                self._captions += json.loads(shard.metadata()["captions"])
        self._latents = torch.cat(latents)

    def __len__(self) -> int:
        return len(self._captions)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, str]:
        """Latents (T, c, h, w), float32, and one wording of the caption."""
        place = int(rng.integers(len(self._captions)))
        wordings = self._captions[place]
        return self._latents[place].float(), wordings[int(rng.integers(len(wordings)))]
