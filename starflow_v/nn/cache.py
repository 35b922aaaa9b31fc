"""Keys and values of the tokens that a transformer has already seen.

A cache is allocated by the caller and passed in; the modules remember nothing. Keys are stored
rotated. What a forward pass writes is a *draft* behind the committed slots, overwritten by the next
pass; `commit` makes its first slots permanent at no cost. How the numbers are kept is the business
of a `CacheStorage`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from starflow_v.nn.storage import CacheStorage, LayerStore, PlainStorage

AS_THEY_COME = PlainStorage()
"""The storage of those who choose none."""


class LayerCache(Protocol):
    """What one attention layer sees of a cache."""

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write a draft (B, heads, k, d) and return all the keys and values to attend to."""


class SequenceCache:
    """Keys and values of one growing sequence, for every layer of a transformer.

    Args:
        layers: number of attention layers.
        capacity: the most slots that it will hold, drafts included.
        storage: how it keeps them.
    """

    def __init__(self, layers: int, capacity: int, *, storage: CacheStorage = AS_THEY_COME) -> None:
        self.capacity = capacity
        self.length = 0
        self._storage = storage
        self._stores: list[LayerStore | None] = [None] * layers

    def layer(self, index: int) -> LayerCache:
        """The cache of one layer."""
        return _SequenceLayer(self, index)

    def commit(self, count: int) -> None:
        """Keep the first `count` slots of the draft."""
        assert self.length + count <= self.capacity, "commit beyond the cache's capacity"
        self.length += count

    def truncate(self, length: int) -> None:
        """Forget everything behind the first `length` slots."""
        assert length <= self.length, "a cache cannot be truncated to more than it holds"
        self.length = length

    def extend(self, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write layer `index`'s draft (B, heads, k, d) behind the committed slots."""
        stop = self.length + keys.shape[2]
        assert stop <= self.capacity, f"draft up to slot {stop} in a cache of {self.capacity}"
        store = self._stores[index]
        if store is None:
            store = self._stores[index] = self._storage.allocate(keys, self.capacity)
        store.write(self.length, keys, values)
        return store.read(stop)


class _SequenceLayer:
    def __init__(self, cache: SequenceCache, index: int) -> None:
        self._cache, self._index = cache, index

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return self._cache.extend(self._index, keys, values)


class RingCache:
    """One layer's keys and values of a fixed head (text) and the last frames.

    Frames lie in a ring: attention without a mask does not ask for their order, and the oldest one
    is overwritten by the newest draft.

    Args:
        head: slots that always stay, written by the first pass in front of its first frame.
        tokens: slots per frame.
        past: frames attended to, the current one included.
        ahead: frames after the current one that a pass brings along as drafts.
        storage: how they are kept.
    """

    def __init__(
        self,
        *,
        head: int,
        tokens: int,
        past: int,
        ahead: int,
        storage: CacheStorage = AS_THEY_COME,
    ) -> None:
        self.head, self.tokens, self.ahead = head, tokens, ahead
        self.frames = past + ahead
        self.committed = 0
        self._storage = storage
        self._store: LayerStore | None = None

    def commit_frame(self) -> None:
        """Keep the first frame of the draft (and the head, if it came with it)."""
        self.committed += 1

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write whole frames (B, heads, [head +] k·tokens, d); returns all that are attended to."""
        if self._store is None:
            self._store = self._storage.allocate(keys, self.head + self.frames * self.tokens)
        if self.committed == 0:
            self._store.write(0, keys[:, :, : self.head], values[:, :, : self.head])
            keys, values = keys[:, :, self.head :], values[:, :, self.head :]
        drafts = list(
            zip(keys.split(self.tokens, dim=2), values.split(self.tokens, dim=2), strict=True)
        )
        for offset, (frame_keys, frame_values) in enumerate(drafts):
            self._store.write(self._place(offset).start, frame_keys, frame_values)
        held = min(self.committed + len(drafts), self.frames)
        keys, values = self._store.read(self.head + held * self.tokens)
        if len(drafts) <= self.ahead and held == self.frames:
            gone = self._place(len(drafts))
            return _without(keys, gone), _without(values, gone)
        return keys, values

    def _place(self, offset: int) -> slice:
        """Where the frame `offset` after the committed ones lies."""
        start = self.head + (self.committed + offset) % self.frames * self.tokens
        return slice(start, start + self.tokens)


def _without(slots: Tensor, gone: slice) -> Tensor:
    """The last frame of a stream brings no draft: leave out the frame it would have replaced."""
    return torch.cat((slots[:, :, : gone.start], slots[:, :, gone.stop :]), dim=2)
