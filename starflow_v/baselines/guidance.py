"""Classifier-free guidance of a velocity (arXiv 2207.12598)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class VelocityGuidance:
    """v = v_c + w · (v_c - v_u): away from what the model does without the caption.

    Args:
        weight: w; 0 is the conditional model itself, as in the flow's `DensityGuidance`.
    """

    weight: float

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"guidance weight {self.weight} is not valid: give 0 (off) or more")

    @property
    def active(self) -> bool:
        """Whether the unconditional velocity is needed at all."""
        return self.weight > 0

    def __call__(self, conditional: Tensor, unconditional: Tensor) -> Tensor:
        """The velocity to follow."""
        return conditional + self.weight * (conditional - unconditional)
