"""A velocity network for points: the transformer's feed-forward layers without attention."""

from __future__ import annotations

from torch import Tensor, nn

from starflow_v.baselines.time_embedding import TimeEmbedding
from starflow_v.nn.layers import MLP


class PointVelocity(nn.Module):
    """v(t, x) for points x of `dimension` coordinates.

    The last layer reads the residual stream as it is, without a norm: far from all data a velocity
    grows with x.

    Args:
        dimension: d.
        width: D, width of the hidden layers.
        layers: number of residual feed-forward layers.
    """

    def __init__(self, dimension: int, *, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.input = nn.Linear(dimension, width)
        self.time = TimeEmbedding(width)
        self.layers = nn.Sequential(*(MLP(width, expansion=2) for _ in range(layers)))
        self.output = nn.Linear(width, dimension)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """t (B,) or a scalar, x (B, d) -> (B, d)."""
        hidden = self.input(x) + self.time(t.expand(len(x)))
        return self.output(self.layers(hidden))
