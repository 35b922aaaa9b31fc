"""A predictor: a conversation with one block about its next tokens.

*Propose* parameters for a guess of the next tokens, as often as you like; *commit* tokens when you
are sure of them. Parameters of a token depend on the committed tokens and on the guess of those
before it, never on the guess of itself or of a later one. The keys of a proposal are a draft; a
commit keeps the draft and costs nothing. (The draft was made of the tokens proposed, so a commit of
others leaves keys that are as old as the proposal.)
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from starflow_v.flow.affine import AffineParams
from starflow_v.flow.block import FlowBlock
from starflow_v.flow.guidance import Guidance
from starflow_v.nn.cache import AS_THEY_COME, SequenceCache
from starflow_v.nn.rope import Rotary
from starflow_v.nn.storage import CacheStorage


class Predictor(Protocol):
    """What a solver needs of a block."""

    @property
    def group(self) -> int:
        """How many tokens are predicted together."""

    def propose(self, guess: Tensor) -> AffineParams:
        """Parameters (B, k, C) of the next k tokens, given a guess (B, k, C) of them."""

    def commit(self, tokens: Tensor) -> None:
        """Settle the next k tokens (B, k, C); the last proposal must have covered them."""

    def recall(self, count: int) -> AffineParams | None:
        """Parameters (B, count, C) of the tokens committed last, since the restart; `None`: there
        are not so many. What was committed before those may be forgotten."""

    def restart(self, text: Tensor | None = None) -> None:
        """Forget all committed tokens and begin at the first position again.

        Args:
            text: embeddings to read in place of those in front, as many; `None` keeps these.
        """


class BlockPredictor:
    """The predictor of one block.

    Args:
        block: the block.
        positions: rotary positions of the text's slots, then of every token's slot.
        group: tokens predicted together.
        text: embeddings (B, L, E) in front, or `None`.
        storage: how keys and values are kept.
    """

    def __init__(
        self,
        block: FlowBlock,
        positions: Rotary,
        *,
        group: int = 1,
        text: Tensor | None = None,
        storage: CacheStorage = AS_THEY_COME,
    ) -> None:
        self._block, self._positions, self._group = block, positions, group
        self._text_length = 0 if text is None else text.shape[1]
        self._cache = SequenceCache(block.layers, capacity=positions.turn.shape[0], storage=storage)
        self._draft: AffineParams | None = None
        self._said: list[Tensor] = []  # parameters (2, B, k, C) of what was committed
        self._last: Tensor | None = None
        if text is not None:
            self._read(text)

    @property
    def group(self) -> int:
        return self._group

    def propose(self, guess: Tensor) -> AffineParams:
        count = guess.shape[1]
        before = guess[:, : count - self._group]
        if self._last is not None:
            before = torch.cat((self._last, before.to(self._last.dtype)), dim=1)
        start = self._cache.length
        self._draft = self._block(
            before,
            self._positions.slots(start, start + count),
            count=count,
            group=self._group,
            cache=self._cache,
            begins=self._last is None,
        ).to(guess.device)
        return self._draft

    def commit(self, tokens: Tensor) -> None:
        count, said = tokens.shape[1], self._draft
        assert said is not None, "tokens committed that were not proposed"
        assert count <= said.shift.shape[1], f"{count} tokens committed, fewer proposed"
        self._cache.commit(count)
        self._last, self._draft = tokens[:, -self._group :], None
        self._said.append(torch.stack((said.shift[:, :count], said.scale[:, :count])))

    def recall(self, count: int) -> AffineParams | None:
        if sum(said.shape[2] for said in self._said) < count:
            return None
        self._said = [torch.cat(self._said, dim=2)[:, :, -count:]]
        return AffineParams(*self._said[0])

    def restart(self, text: Tensor | None = None) -> None:
        self._last, self._draft = None, None
        self._said = []
        if text is None:
            self._cache.truncate(self._text_length)
            return
        assert text.shape[1] == self._text_length, "a restart cannot change the length of the text"
        self._cache.truncate(0)
        self._read(text)

    def _read(self, text: Tensor) -> None:
        """Put the text into the empty cache."""
        nothing = text.new_zeros(text.shape[0], 0, self._block.channels)
        positions = self._positions.slots(0, self._text_length)
        self._block(nothing, positions, count=0, text=text, cache=self._cache, begins=False)
        self._cache.commit(self._text_length)


class PairedPredictor:
    """Two predictors as one of both batches, one after the other: for halves that differ in more
    than their text.

    Args:
        first: of the first half of the batch.
        second: of the second half.
    """

    def __init__(self, first: Predictor, second: Predictor) -> None:
        self._pair = (first, second)

    @property
    def group(self) -> int:
        return self._pair[0].group

    def propose(self, guess: Tensor) -> AffineParams:
        said = [it.propose(half) for it, half in zip(self._pair, guess.chunk(2), strict=True)]
        return _joined(said)

    def commit(self, tokens: Tensor) -> None:
        for predictor, half in zip(self._pair, tokens.chunk(2), strict=True):
            predictor.commit(half)

    def recall(self, count: int) -> AffineParams | None:
        said = [params for it in self._pair if (params := it.recall(count)) is not None]
        return _joined(said) if len(said) == len(self._pair) else None

    def restart(self, text: Tensor | None = None) -> None:
        halves = (None, None) if text is None else text.chunk(2)
        for predictor, half in zip(self._pair, halves, strict=True):
            predictor.restart(half)


def _joined(params: list[AffineParams]) -> AffineParams:
    """Those of several batches, one after the other."""
    shifts, scales = zip(*((it.shift, it.scale) for it in params), strict=True)
    return AffineParams(torch.cat(shifts), torch.cat(scales))


class GuidedPredictor:
    """A predictor whose parameters are a function of conditional and unconditional ones.

    The text of a restart is that of both, one batch after the other.

    Args:
        inner: a predictor of twice the batch: the conditional half, then the unconditional one.
        guidance: the function of the two.
    """

    def __init__(self, inner: Predictor, guidance: Guidance) -> None:
        self._inner, self._guidance = inner, guidance

    @property
    def group(self) -> int:
        return self._inner.group

    def propose(self, guess: Tensor) -> AffineParams:
        return self._guide(self._inner.propose(torch.cat((guess, guess))))

    def commit(self, tokens: Tensor) -> None:
        self._inner.commit(torch.cat((tokens, tokens)))

    def recall(self, count: int) -> AffineParams | None:
        both = self._inner.recall(count)
        return None if both is None else self._guide(both)

    def restart(self, text: Tensor | None = None) -> None:
        self._inner.restart(text)

    def _guide(self, both: AffineParams) -> AffineParams:
        shift, null_shift = both.shift.chunk(2)
        scale, null_scale = both.scale.chunk(2)
        return self._guidance(AffineParams(shift, scale), AffineParams(null_shift, null_scale))
