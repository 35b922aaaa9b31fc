"""Distributions in the plane whose transport can be looked at, and measured exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

Sampler = Callable[[int, Generator], Tensor]
"""How many, and a generator -> points (n, 2), float32."""


def standard_normal(count: int, generator: Generator) -> Tensor:
    """N(0, I)."""
    return torch.randn(count, 2, generator=generator)


def eight_gaussians(count: int, generator: Generator) -> Tensor:
    """Eight normals of variance 0.1 on a circle of radius 5."""
    angle = torch.randint(8, (count,), generator=generator) * (math.pi / 4)
    centres = 5 * torch.stack((angle.cos(), angle.sin()), dim=1)
    return centres + math.sqrt(0.1) * torch.randn(count, 2, generator=generator)


def two_moons(count: int, generator: Generator) -> Tensor:
    """Two interleaved half circles of radius 3, with noise of deviation 0.6."""
    angle = math.pi * torch.rand(count, generator=generator)
    lower = torch.randint(2, (count,), generator=generator)
    sign = 1 - 2 * lower
    points = torch.stack((sign * angle.cos() + lower, sign * angle.sin() + 0.5 * lower), dim=1)
    noise = 0.2 * torch.randn(count, 2, generator=generator)
    return 3 * (points + noise) - 1
