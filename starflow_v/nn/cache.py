"""Keys and values of the tokens that a transformer has already seen.

A cache is allocated by the caller and passed in; the modules remember nothing. Keys are stored
rotated. What a forward pass writes is a *draft* behind the committed slots, overwritten by the next
pass; `commit` makes its first slots permanent at no cost.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class LayerCache(Protocol):
    """What one attention layer sees of a cache."""

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write a draft (B, heads, k, d) and return all the keys and values to attend to."""


class SequenceCache:
    """Keys and values of one growing sequence, for every layer of a transformer.

    Args:
        layers: number of attention layers.
        capacity: the most slots that it will hold, drafts included.
    """

    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._store: list[Tensor | None] = [None] * layers

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
        store = self._store[index]
        if store is None:
            batch, heads, _, width = keys.shape
            store = keys.new_empty(2, batch, heads, self.capacity, width)
            self._store[index] = store
        store[0, :, :, self.length : stop] = keys
        store[1, :, :, self.length : stop] = values
        return store[0, :, :, :stop], store[1, :, :, :stop]


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
    """

    def __init__(self, *, head: int, tokens: int, past: int, ahead: int) -> None:
        self.head, self.tokens, self.ahead = head, tokens, ahead
        self.frames = past + ahead
        self.committed = 0
        self._store: Tensor | None = None

    def commit_frame(self) -> None:
        """Keep the first frame of the draft (and the head, if it came with it)."""
        self.committed += 1

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write whole frames (B, heads, [head +] k·tokens, d); returns all that are attended to."""
        pair = torch.stack((keys, values))
        if self._store is None:
            capacity = self.head + self.frames * self.tokens
            self._store = pair.new_empty(*pair.shape[:3], capacity, pair.shape[-1])
        if self.committed == 0:
            self._store[..., : self.head, :] = pair[..., : self.head, :]
            pair = pair[..., self.head :, :]
        drafts = pair.split(self.tokens, dim=-2)
        for offset, frame in enumerate(drafts):
            self._store[..., self._place(offset), :] = frame
        held = min(self.committed + len(drafts), self.frames)
        seen = self._store[..., : self.head + held * self.tokens, :]
        if len(drafts) <= self.ahead and held == self.frames:
            seen = _without(seen, self._place(len(drafts)))
        return seen[0], seen[1]

    def _place(self, offset: int) -> slice:
        """Where the frame `offset` after the committed ones lies."""
        start = self.head + (self.committed + offset) % self.frames * self.tokens
        return slice(start, start + self.tokens)


def _without(slots: Tensor, gone: slice) -> Tensor:
    """The last frame of a stream brings no draft: leave out the frame it would have replaced."""
    return torch.cat((slots[..., : gone.start, :], slots[..., gone.stop :, :]), dim=-2)
