"""What a model is told: the text, and the other text that guidance leads away from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from starflow_v.flow.checks import check_null_text


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
                "negative prompt"
            )
        check_null_text(self.null_text, self.text)
        return torch.cat((self.text, self.null_text.expand_as(self.text)))
