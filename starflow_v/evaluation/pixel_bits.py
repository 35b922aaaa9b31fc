"""Bits per dimension of pictures, as the field reports them.

A picture is D whole numbers x in 0 .. K-1; a flow has a density p of real vectors. *Dequantisation*
joins the two: with u uniform in [0,1)^D,

    P(x) = ∫ q(x + u) du,        q the density of v = x + u, in units of one level,

is a distribution over pictures, and by Jensen's inequality

    -log2 P(x) ≤ -E log2 q(x + u).

The flow sees y = 2v/K - 1 in [-1,1], so q(v) = p(y) (2/K)^D by the change of variables, and

    bits per dimension = -E log2 p(y) / D + log2(K/2).

K is the number of levels that the pictures really have (256, but 17 for scikit-learn's digits):
stretched over more, they would leave gaps in which a flow gains bits for nothing. The mean over
several draws inside the logarithm, -log2 (1/M) Σ q(x + u_m), is a tighter bound, equal for M = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

LogDensity = Callable[[Tensor], Tensor]
"""y (n, ...) -> log p(y) in nats, (n,)."""


@dataclass(frozen=True)
class PixelBits:
    """Bits per dimension of each picture, (n,), float32 or better.

    Args:
        bound: the mean of -log2 q over the draws: what is usually reported.
        tight: the bound with the mean inside the logarithm.
    """

    bound: Tensor
    tight: Tensor


def dequantize(pictures: Tensor, levels: int, generator: Generator) -> Tensor:
    """Whole numbers 0 .. K-1 of any shape -> y in [-1,1), uniform over the bin of each."""
    noise = torch.rand(pictures.shape, generator=generator)
    return 2 * (pictures.float() + noise) / levels - 1


@torch.no_grad()
def pixel_bits(
    log_density: LogDensity, pictures: Tensor, *, levels: int, draws: int, generator: Generator
) -> PixelBits:
    """Bounds on the bits per dimension of pictures under a density of y, see the top.

    Args:
        log_density: log p(y), for all pictures at once.
        pictures: whole numbers 0 .. K-1, (n, ...).
        levels: K.
        draws: M, of u for each picture; the same seed is the same u for every model.
        generator: on the CPU.
    """
    if draws < 1:
        raise ValueError(f"draws={draws} is not valid: give 1 or more")
    if pictures.min() < 0 or pictures.max() >= levels or (pictures != pictures.round()).any():
        raise ValueError(f"the pictures are not whole numbers from 0 to {levels - 1}")
    dimensions = pictures[0].numel()
    nats = torch.stack(
        [log_density(dequantize(pictures, levels, generator)) for _ in range(draws)]
    ).to(torch.float64)
    inside = torch.logsumexp(nats, dim=0) - math.log(draws)
    return PixelBits(_bits(nats.mean(0), dimensions, levels), _bits(inside, dimensions, levels))


def _bits(nats: Tensor, dimensions: int, levels: int) -> Tensor:
    return -nats / (dimensions * math.log(2)) + math.log2(levels / 2)
