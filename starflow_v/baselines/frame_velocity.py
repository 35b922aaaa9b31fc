"""The velocity of the next frame, given the text and the clean frames before it."""

from __future__ import annotations

import torch
from torch import Tensor

from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.velocity_block import VelocityBlock
from starflow_v.nn.cache import SequenceCache
from starflow_v.nn.rope import Rotary


class FrameVelocity:
    """A conversation with a `VelocityBlock` about one frame after the other.

    Ask for the velocity of the next frame as often as you like (the keys of the asked are drafts),
    then commit the clean frame, which takes one more evaluation: its keys at t = 1 stay.

    Args:
        block: the network.
        positions: rotary positions of the text's slots, then of all frames' tokens.
        tokens: N, tokens of a frame.
        text: embeddings (B, L, E) in front, with active guidance those of both branches (2B, L, E).
        guidance: combines the branches; `None` or an inactive one: there is only one.
    """

    def __init__(
        self,
        block: VelocityBlock,
        positions: Rotary,
        *,
        tokens: int,
        text: Tensor | None = None,
        guidance: VelocityGuidance | None = None,
    ) -> None:
        self._block, self._positions, self._tokens = block, positions, tokens
        self._guidance = guidance if guidance is not None and guidance.active else None
        self._length = 0 if text is None else text.shape[1]
        self._cache = SequenceCache(block.layers, capacity=positions.turn.shape[0])
        self._read(text)

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        """dx/dt of the next frame: a scalar t and its tokens x (B, N, C) -> (B, N, C)."""
        if self._guidance is None:
            return self._evaluate(t, x).to(x.dtype)
        conditional, unconditional = self._evaluate(t, torch.cat((x, x))).chunk(2)
        return self._guidance(conditional, unconditional).to(x.dtype)

    def commit(self, frame: Tensor) -> None:
        """Settle the next frame, clean: (B, N, C)."""
        both = frame if self._guidance is None else torch.cat((frame, frame))
        self._evaluate(torch.ones((), device=frame.device), both)
        self._cache.commit(self._tokens)

    def restart(self, text: Tensor | None = None) -> None:
        """Forget all frames; read another text of the same length, if one is given."""
        self._cache.truncate(self._length if text is None else 0)
        self._read(text)

    def _evaluate(self, t: Tensor, x: Tensor) -> Tensor:
        start = self._cache.length
        table = self._positions.slots(start, start + self._tokens)
        times = t.expand(len(x), 1)
        return self._block(x[:, None], times, table, cache=self._cache)[:, 0]

    def _read(self, text: Tensor | None) -> None:
        """Put the text into the empty cache."""
        if text is None:
            return
        nothing = text.new_zeros(len(text), 0, self._tokens, self._block.channels)
        table = self._positions.slots(0, self._length)
        self._block(nothing, text.new_zeros(len(text), 0), table, text=text, cache=self._cache)
        self._cache.commit(self._length)
