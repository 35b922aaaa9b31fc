"""Couplings: which noise is joined to which data, and how much each pair counts.

    IndependentCoupling        I-CFM: pairs as they were drawn
    OptimalTransportCoupling   OT-CFM: the cheapest pairs of the batch (arXiv 2302.00482)
    WeightedCoupling           W-CFM: pairs as they were drawn, short ones count more (2507.22270)

x1 and its order are never touched, so a condition (a caption) stays with its data. With conditions
the last two are approximations: the noise of one condition is no longer exactly normal, since it
has gone to where others' data are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from starflow_v.baselines.gibbs import batch_weights, gibbs_scale, log_gibbs
from starflow_v.baselines.transport import assign


class Pairs(NamedTuple):
    """Coupled noise and data."""

    x0: Tensor
    """(n, ...)."""
    x1: Tensor
    """(n, ...)."""
    weight: Tensor
    """(n,), of mean 1."""


class Coupling(Protocol):
    """Makes pairs of a batch of noise and a batch of data, drawn independently."""

    def __call__(self, x0: Tensor, x1: Tensor) -> Pairs:
        """x0 and x1 (n, ...) -> pairs, x1 as given."""


@dataclass(frozen=True)
class IndependentCoupling:
    """Pairs as they were drawn."""

    def __call__(self, x0: Tensor, x1: Tensor) -> Pairs:
        return Pairs(x0, x1, x1.new_ones(len(x1)))


@dataclass(frozen=True)
class OptimalTransportCoupling:
    """The noise in the order that makes the sum of |x0 - x1|² smallest.

    Its time grows about as the cube of the batch size; small batches couple little.
    """

    def __call__(self, x0: Tensor, x1: Tensor) -> Pairs:
        cost = torch.cdist(x1.flatten(1), x0.flatten(1)).square()
        return Pairs(x0[assign(cost)], x1, x1.new_ones(len(x1)))


@dataclass(frozen=True)
class WeightedCoupling:
    """Pairs as they were drawn, weighted by exp(-|x0 - x1| / eps), eps = kappa · sqrt(d).

    Args:
        kappa: see `starflow_v.baselines.gibbs.choose_kappa`; infinity is `IndependentCoupling`.
    """

    kappa: float

    def __post_init__(self) -> None:
        gibbs_scale(self.kappa, 1)  # refuses what is not valid

    def __call__(self, x0: Tensor, x1: Tensor) -> Pairs:
        eps = gibbs_scale(self.kappa, x1[0].numel())
        return Pairs(x0, x1, batch_weights(log_gibbs(x0, x1, eps)))
