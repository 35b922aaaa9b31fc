"""The weights of Weighted CFM (arXiv 2507.22270), the tilt that they cause, and how to choose them.

A pair drawn independently is weighted by a Gibbs kernel of its length (not of its square):

    w(x0, x1) = exp(-|x0 - x1| / eps),      eps = kappa · sqrt(d)       (4)

The weighted pairs have the joint density p(x0)·p(x1)·w / Z. That is a plan of entropic optimal
transport with cost |x0 - x1|, but between marginals of its own, tilted by

    tau(x0) = E[w(x0, x1) | x0],      tau(x1) = E[w(x0, x1) | x1]       (5)

relative to p(x0) and p(x1). Where tau is constant the plan is that of the given marginals. A small
eps gives short, straight lines and a strong tilt, a large one neither: `choose_kappa` looks for the
elbow of the relative variance Var(tau) / E[tau]² between the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from starflow_v.nn.layers import widen

SHARES = tuple(0.05 * 10 ** (step / 8) for step in range(14))
"""Candidates of `choose_kappa`, 0.05 to 2.1, as shares of the median distance over sqrt(d)."""


def gibbs_scale(kappa: float, dimension: int) -> float:
    """eps of (4) for points of `dimension` coordinates."""
    if not kappa > 0:
        raise ValueError(f"kappa={kappa} is not valid: give a number above 0 (inf: no weights)")
    return kappa * math.sqrt(dimension)


def log_gibbs(x0: Tensor, x1: Tensor, eps: float) -> Tensor:
    """log w of each pair, (n,); x0 and x1 are (n, ...)."""
    return -torch.linalg.vector_norm((widen(x0) - widen(x1)).flatten(1), dim=1) / eps


def batch_weights(log_weights: Tensor) -> Tensor:
    """w divided by its mean over the batch, (n,): only differences of log w matter.

    In 3072 dimensions a raw w is about exp(-12) or less: softmax subtracts the largest log w first
    and divides by the sum.
    """
    return len(log_weights) * torch.softmax(log_weights, dim=0)


def effective_sample_size(weights: Tensor) -> Tensor:
    """(sum w)² / sum w²: how many equally weighted pairs would be worth as much, 1 .. n."""
    return weights.sum().square() / weights.square().sum()


def tilt_variance(x0: Tensor, x1: Tensor, eps: float) -> float:
    """Var(tau) / E[tau]² of (5), the larger one of the two marginals.

    The samples of one side stand for its distribution in the expectation over it, so of n points
    it cannot be more than n - 1.

    Args:
        x0: samples of one marginal, (n, ...).
        x1: samples of the other, (m, ...).
        eps: the scale of (4).
    """
    distances = torch.cdist(widen(x0).flatten(1), widen(x1).flatten(1))
    return max(_relative_variance(-distances / eps, axis) for axis in (0, 1))


@dataclass(frozen=True)
class KappaChoice:
    """What `choose_kappa` saw, and what it took."""

    kappa: float
    candidates: tuple[float, ...]
    """Rising."""
    variances: tuple[float, ...]
    """Relative variance of the tilt at each candidate."""


def choose_kappa(x0: Tensor, x1: Tensor, candidates: Sequence[float] | None = None) -> KappaChoice:
    """kappa at the elbow of the tilt's relative variance.

    Both axes are scaled to [0, 1]; the elbow is the candidate farthest below the straight line
    between the ends of the curve, so it depends on where the curve begins and ends. The default
    candidates follow the distances, so data in other units have a kappa in the same units.

    Args:
        x0: samples of the noise, (n, ...); some hundreds are enough.
        x1: samples of the data, (m, ...).
        candidates: values of kappa to choose from, at least three; `None`: `SHARES` of the median
            distance over sqrt(d).
    """
    if x0.shape[1:] != x1.shape[1:]:
        raise ValueError(
            f"noise and data differ in shape: {tuple(x0.shape[1:])} and {tuple(x1.shape[1:])}"
        )
    dimension = x0[0].numel()
    if candidates is None:
        median = torch.cdist(widen(x0).flatten(1), widen(x1).flatten(1)).median()
        candidates = [share * float(median) / math.sqrt(dimension) for share in SHARES]
    kappas = tuple(sorted(set(candidates)))
    if len(kappas) < 3 or not all(0 < kappa < math.inf for kappa in kappas):
        raise ValueError(
            "an elbow needs at least three different candidates, numbers above 0; got "
            f"{list(candidates)}"
        )
    variances = [tilt_variance(x0, x1, gibbs_scale(kappa, dimension)) for kappa in kappas]
    across, curve = torch.tensor(kappas), torch.tensor(variances)
    along = (across - across[0]) / (across[-1] - across[0])
    height = (curve - curve[-1]) / (curve[0] - curve[-1]).clamp(min=1e-12)
    below = 1 - along - height
    return KappaChoice(kappas[int(below.argmax())], kappas, tuple(variances))


def _relative_variance(log_weights: Tensor, axis: int) -> float:
    """Var / mean² of the means of w over one axis of (n, m), all of it up to a common factor."""
    log_tilt = torch.logsumexp(log_weights, dim=1 - axis)
    tilt = torch.exp(log_tilt - log_tilt.max())
    return float(tilt.var(correction=0) / tilt.mean().square())
