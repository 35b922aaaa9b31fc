"""Affine parameters: what a block says about its next tokens (TARFlow, arXiv 2412.06329).

A block is the map x -> z of a sequence of tokens with

    z = (x - shift(x_<)) / scale(x_<),        x = shift(x_<) + scale(x_<) · z,

where x_< are the tokens before. It is lower triangular, so its log-determinant is -Σ log scale.
All of this is computed in `promote_types(dtype, float32)`: half precision is raised, float64 kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from starflow_v.nn.layers import widen

UNIT_SCALE = 0.541324854612918
"""softplus(UNIT_SCALE) = 1: a raw scale of zero means scale one."""


@dataclass(frozen=True)
class AffineParams:
    """Shift and scale of k tokens, both (B, k, C); scale is positive."""

    shift: Tensor
    scale: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor) -> AffineParams:
        """Read a network's output (B, k, 2C): raw scale a, then shift; scale = softplus(a + c)."""
        scale, shift = widen(raw).chunk(2, dim=-1)
        return cls(shift, F.softplus(scale + UNIT_SCALE))

    def to(self, device: torch.device) -> AffineParams:
        """The same on a device: a block may be on another one than its tokens."""
        return AffineParams(self.shift.to(device), self.scale.to(device))

    def normalize(self, x: Tensor) -> Tensor:
        """x -> z, (B, k, C)."""
        return (x - self.shift) / self.scale

    def denormalize(self, z: Tensor) -> Tensor:
        """z -> x, (B, k, C)."""
        return self.shift + self.scale * z

    def log_det(self) -> Tensor:
        """log |dz/dx| of each token, (B, k), in nats."""
        return -self.scale.log().sum(-1)
