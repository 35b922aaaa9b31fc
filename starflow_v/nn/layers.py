"""The small layers every network here shares."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def widen(x: Tensor) -> Tensor:
    """The same numbers in float32 or better."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, y = (1 + w) · x / sqrt(mean(x²) + eps).

    All of it is computed in float32 or better (in bfloat16, 1 + w = 1 for every |w| < 1/512); the
    weight starts at zero, that is at the identity.
    """

    def __init__(self, width: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in the dtype of x."""
        wide = widen(x)
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (scaled * (1 + self.weight.to(wide.dtype))).to(x.dtype)


class MLP(nn.Module):
    """Pre-normalised feed-forward network with a residual, x + down(gelu(up(norm(x))))."""

    def __init__(self, width: int, *, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.up = nn.Linear(width, expansion * width)
        self.act = nn.GELU()
        self.down = nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return x + self.down(self.act(self.up(self.norm(x))))


def soft_clip(x: Tensor, limit: float) -> Tensor:
    """Bound x smoothly to (-limit, limit): limit · tanh(x / limit)."""
    return limit * torch.tanh(x / limit)
