"""What is done with a gradient: taken, or skipped because it is not finite or far from the usual.

A single bad batch can undo an hour of training. The guard compares each gradient's norm with the
running median of the last norms. A median does not heed single outliers, but it follows when large
norms become usual (after half of its history), as when a curriculum goes on to harder data.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from enum import Enum
from statistics import median
from typing import Any

HISTORY = 64
"""Norms that the median is taken over."""


class Verdict(Enum):
    """What the guard says of one gradient."""

    ACCEPTED = "accepted"
    OUTLIER = "outlier"
    NOT_FINITE = "not finite"


class GradientGuard:
    """Judges the gradient norms of one part of a model, in order. Its state belongs into
    checkpoints."""

    def __init__(self, *, multiple: float = 10.0, patience: int = 20) -> None:
        """A norm over `multiple` times the median is an outlier, once `patience` norms are
        known."""
        if multiple <= 1 or not 1 <= patience <= HISTORY:
            raise ValueError(
                f"multiple must be above 1 and patience between 1 and {HISTORY}, "
                f"got {multiple} and {patience}"
            )
        self.multiple = multiple
        self.patience = patience
        self.norms: deque[float] = deque(maxlen=HISTORY)
        self.outliers = 0
        self.not_finite = 0
        self.in_a_row = 0
        """Gradients that were not finite since the last one that was."""

    def judge(self, norm: float) -> Verdict:
        """Accept or refuse the next gradient; count what is refused."""
        if not math.isfinite(norm):
            self.not_finite += 1
            self.in_a_row += 1
            return Verdict.NOT_FINITE
        self.in_a_row = 0
        usual = median(self.norms) if len(self.norms) >= self.patience else math.inf
        self.norms.append(norm)
        if norm > self.multiple * usual:
            self.outliers += 1
            return Verdict.OUTLIER
        return Verdict.ACCEPTED

    def state(self) -> dict[str, Any]:
        """What `restore` needs, ready for JSON."""
        return {
            "norms": list(self.norms),
            "outliers": self.outliers,
            "not_finite": self.not_finite,
            "in_a_row": self.in_a_row,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.norms = deque(state["norms"], maxlen=HISTORY)
        self.outliers = int(state["outliers"])
        self.not_finite = int(state["not_finite"])
        self.in_a_row = int(state["in_a_row"])
