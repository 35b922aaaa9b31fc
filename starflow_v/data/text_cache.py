"""Embeddings on disk: what a frozen text encoder says about each caption, read instead of asked.

    cache.json                 which encoder, and how many tokens it reads
    text-00000.safetensors     embeddings (S,D), float16: the tokens of all captions one after the
                               other, without padding; in the header the captions and their lengths

Captions are kept as the encoder reads them, wrapped in their conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from starflow_v.data.shards import Shard, ShardPlan, digest, read_header, shard_path

NAME, CAPTIONS, LENGTHS, EMBEDDINGS = "text", "captions", "lengths", "embeddings"
CAPTIONS_OF_A_SHARD = 1024
BATCH = 32
"""Captions that go through the encoder together."""

EmbedCaptions = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Captions -> embeddings (B,L,D) and the mask (B,L) of tokens that are not padding."""


def text_plan(captions: Iterable[str], embed: EmbedCaptions) -> ShardPlan:
    """How the shards of embeddings are made."""
    distinct = sorted(set(captions))

    def chunk(index: int) -> list[str]:
        return distinct[index * CAPTIONS_OF_A_SHARD : (index + 1) * CAPTIONS_OF_A_SHARD]

    return ShardPlan(
        name=NAME,
        count=-(-len(distinct) // CAPTIONS_OF_A_SHARD),
        make=lambda index: _shard(chunk(index), embed),
        made_of=lambda index: digest(chunk(index)),
    )


class TextCache:
    """Reads the embeddings of captions.

    Args:
        folder: the cache.
        shards: how many of its shards are read.
        length: L, tokens of a caption with its padding.
    """

    def __init__(self, folder: Path, shards: int, *, length: int) -> None:
        self._folder, self._length = folder, length
        self._places: dict[str, tuple[Any, int, int]] = {}
        for index in range(shards):
            path = shard_path(folder, NAME, index)
            header = read_header(path)
            rows = safe_open(path, framework="pt").get_slice(EMBEDDINGS)
            ends = accumulate(header[LENGTHS])
            for caption, size, end in zip(header[CAPTIONS], header[LENGTHS], ends, strict=True):
                self._places[caption] = (rows, end - size, end)

    def __len__(self) -> int:
        return len(self._places)

    def embed(self, captions: Sequence[str]) -> Tensor:
        """Embeddings (B,L,D), float32, those of padding zero."""
        return torch.stack([self._embed(caption) for caption in captions])

    def _embed(self, caption: str) -> Tensor:
        if caption not in self._places:
            raise ValueError(f"the text cache {self._folder} lacks {caption!r}: build it anew")
        rows, begin, end = self._places[caption]
        tokens: Tensor = rows[begin:end].float()
        return torch.nn.functional.pad(tokens, (0, 0, 0, self._length - len(tokens)))


def _shard(captions: Sequence[str], embed: EmbedCaptions) -> Shard:
    """The embeddings of some captions, without padding."""
    tokens: list[Tensor] = []
    for first in range(0, len(captions), BATCH):
        embeddings, mask = embed(captions[first : first + BATCH])
        tokens += [row[keep.bool()] for row, keep in zip(embeddings, mask, strict=True)]
    return Shard(
        tensors={EMBEDDINGS: torch.cat(tokens).half().cpu()},
        header={CAPTIONS: list(captions), LENGTHS: [len(it) for it in tokens]},
    )
