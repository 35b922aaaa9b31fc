"""The small layers every network here shares."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, y = (1 + w) · x / sqrt(mean(x²) + eps).

    The mean is taken in float32 or better; the weight starts at zero, that is at the identity.
    """

    def __init__(self, width: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in the dtype of x."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (scaled * (1 + self.weight)).to(x.dtype)


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
