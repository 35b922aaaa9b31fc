"""Conditional flow matching (arXiv 2210.02747, 2302.00482): a velocity learned on straight lines.

A pair (x0, x1) of noise and data is joined by a line that is walked at constant speed:

    x_t = (1 - t)·x0 + t·x1,      0 <= t <= 1                           (1)
    dx_t/dt = x1 - x0                                                   (2)

    L(v) = E[ w(x0, x1) · |v(t, x_t) - (x1 - x0)|² ]                    (3)

The minimum of (3) is the mean of (2) over the lines through a point, weighted by w, and the ODE
dx/dt = v(t, x) takes the noise to the data. Whoever draws the pairs (and w) chooses the coupling,
and so how straight that ODE runs: see `couplings`. Plain flow matching has w = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from starflow_v.nn.layers import widen


def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """x_t of (1); x0 and x1 are (..., *shape), t has their leading axes only."""
    t = _expand(t, x1)
    return (1 - t) * x0 + t * x1


def target_velocity(x0: Tensor, x1: Tensor) -> Tensor:
    """dx_t/dt of (2), the same at every t."""
    return x1 - x0


def flow_matching_loss(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The mean of (3) over pairs and their elements.

    Args:
        prediction: v(t, x_t), (n, ...).
        target: `target_velocity`, like `prediction`.
        weight: w of each pair, (n,), of mean 1.
    """
    errors = (widen(prediction) - widen(target)).square().flatten(1).mean(1)
    return torch.mean(weight.to(errors) * errors)


def _expand(t: Tensor, like: Tensor) -> Tensor:
    """t (leading axes of `like`) -> the same with ones behind, to be multiplied with `like`."""
    if t.shape != like.shape[: t.ndim]:
        raise ValueError(
            f"times of shape {tuple(t.shape)} do not lead a tensor of shape {tuple(like.shape)}"
        )
    return t.view(*t.shape, *[1] * (like.ndim - t.ndim)).to(like)
