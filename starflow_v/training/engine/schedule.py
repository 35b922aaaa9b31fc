"""The learning rate over time: a straight warm-up, then half a cosine down to a floor.

    factor(s) = (s+1)/W                                  while s < W
    factor(s) = r + (1-r)(1 + cos(pi p))/2,  p = (s-W)/(S-W), at most 1      after that

s: step from 0, W: warm-up steps, S: all steps, r: the floor. Past S the factor stays at r, so a run
can go on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """Factor on the peak learning rate, a pure function of the step: there is no state to save."""

    steps: int
    """S, all steps of the run."""
    warmup: int = 0
    """W, steps until the peak."""
    floor: float = 0.0
    """r, the factor at the end."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= self.steps:
            raise ValueError(
                f"warm-up must be between 0 and all {self.steps} steps, got {self.warmup} steps"
            )

    def __call__(self, step: int) -> float:
        """Factor of step `step`, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2
