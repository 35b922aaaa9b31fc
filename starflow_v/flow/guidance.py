"""Guidance: affine parameters as a function of conditional and unconditional ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from starflow_v.flow.affine import AffineParams


class Guidance(Protocol):
    """A rule that sharpens a condition. It is applied in the deep block only."""

    @property
    def active(self) -> bool:
        """Whether the unconditional parameters are needed at all."""

    def __call__(self, conditional: AffineParams, unconditional: AffineParams) -> AffineParams:
        """The parameters to sample with."""


@dataclass(frozen=True)
class DensityGuidance:
    """The density p_c · (p_c / p_u)^w of two Gaussians, kept proper (STARFlow, arXiv 2506.06276).

    With s = min(scale_c / scale_u, 1)²,

        scale = scale_c / sqrt(1 + w - w·s),
        shift = ((1 + w)·shift_c - w·s·shift_u) / (1 + w - w·s).

    Args:
        weight: w; 0 is the conditional model itself.
    """

    weight: float

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"guidance weight {self.weight} is not valid: give 0 (off) or more")

    @property
    def active(self) -> bool:
        return self.weight > 0

    def __call__(self, conditional: AffineParams, unconditional: AffineParams) -> AffineParams:
        w = self.weight
        s = (conditional.scale / unconditional.scale).clamp(max=1).square()
        precision = 1 + w - w * s
        shift = ((1 + w) * conditional.shift - w * s * unconditional.shift) / precision
        return AffineParams(shift, conditional.scale / precision.sqrt())
