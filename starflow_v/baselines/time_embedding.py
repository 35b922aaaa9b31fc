"""How a network is told the time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FEATURES = 64
HIGHEST = 32.0
"""Of the frequencies (in radians), which rise geometrically from 1."""


class TimeEmbedding(nn.Module):
    """Sines and cosines of t in [0, 1], then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(FEATURES, width)
        self.act = nn.GELU()
        self.down = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """(...) -> (..., D)."""
        exponent = torch.arange(FEATURES // 2, device=t.device) / (FEATURES // 2 - 1)
        angles = t.float()[..., None] * torch.exp(math.log(HIGHEST) * exponent)
        features = torch.cat((angles.sin(), angles.cos()), dim=-1)
        return self.down(self.act(self.up(features.to(self.up.weight.dtype))))
