"""What a model is told: the text, and the other text that guidance leads away from.

It may be told something else along the way (`Later`): other captions, or, once the window has
restarted, that its frames go on from others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from starflow_v.flow.checks import check_null_text, check_text


class Rule(Protocol):
    """A guidance, whatever it combines."""

    @property
    def active(self) -> bool:
        """Whether the unconditional branch is needed at all."""


@dataclass(frozen=True)
class Texts:
    """Embeddings of a batch of captions.

    Args:
        text: (B, L, E), or `None` for a model without text.
        null_text: those of the empty or negative prompts, as many or one for all; for guidance.
    """

    text: Tensor | None
    null_text: Tensor | None = None

    def for_predictor(self, guidance: Rule | None) -> Tensor | None:
        """What a predictor reads: the text; if guidance is active, both, one after the other."""
        if guidance is None or not guidance.active:
            return self.text
        if self.text is None or self.null_text is None:
            raise ValueError(
                "guidance needs a model with text, and null_text: the embeddings of the empty or "
                "negative prompt (or, without a text, an attention temperature other than 1)"
            )
        check_null_text(self.null_text, self.text)
        return torch.cat((self.text, self.null_text.expand_as(self.text)))

    def at(self, frame: int, *, restarted: bool) -> Texts | None:
        """As `Later`: these texts are told from the first restart on."""
        return self if restarted else None


class Later(Protocol):
    """What a model is told after the beginning of a video."""

    def at(self, frame: int, *, restarted: bool) -> Texts | None:
        """The texts of a frame, the same object for as long as nothing changes.

        Args:
            frame: its number among all that the block is given, known ones included.
            restarted: whether the block has forgotten the first frame.

        Returns:
            `None`: still those of the beginning.
        """


@dataclass(frozen=True)
class Part:
    """A part of a video under captions of its own.

    Args:
        start: its first frame.
        texts: what is told in the first window; `None`: still what was told at the beginning.
        again: the same once the window has restarted; `None`: no other words.
    """

    start: int
    texts: Texts | None
    again: Texts | None = None


@dataclass(frozen=True)
class Script:
    """Captions that change along the way: a `Later` in parts, ordered, the first from 0 on."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        starts = [part.start for part in self.parts]
        if starts[:1] != [0] or starts != sorted(set(starts)):
            raise ValueError(f"a script's parts begin at frames 0 < ... in order, got {starts}")

    def at(self, frame: int, *, restarted: bool) -> Texts | None:
        part = next(part for part in reversed(self.parts) if part.start <= frame)
        return part.again if restarted and part.again is not None else part.texts


class Reader:
    """Tells when a predictor must read another text.

    Args:
        later: what is told; `None`: nothing new, ever.
        guidance: whose predictor it is.
        batch: B, videos.
        width: E of the embeddings.
    """

    def __init__(
        self, later: Later | None, guidance: Rule | None, *, batch: int, width: int | None
    ) -> None:
        self._later, self._guidance = later, guidance
        self._batch, self._width = batch, width
        self._told: Texts | None = None

    def news(self, frame: int, *, restarted: bool) -> Tensor | None:
        """What a predictor must read before this frame; `None`: it has read it."""
        told = None if self._later is None else self._later.at(frame, restarted=restarted)
        if told is None or told is self._told:
            return None
        self._told = told
        check_text(told.text, batch=self._batch, width=self._width)
        return told.for_predictor(self._guidance)
