"""Likelihood of a continuous flow by the change of variables along its path (arXiv 1810.01367):

    log p(x1) = log N(x0; 0, I) - ∫ div v(t, x_t) dt                    (6)

with x0 reached from x1 backwards in time. The divergence is the trace of dv/dx: exactly at d
backward passes, or by Hutchinson's estimate E[e · (dv/dx) e] with random signs e at one.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Generator, Tensor

from starflow_v.baselines.integrators import Integrator, Velocity


class Divergence(Protocol):
    """The divergence of a velocity that treats each sample by itself."""

    def __call__(self, velocity: Tensor, x: Tensor) -> Tensor:
        """v (B, ...) as computed from x (B, ...), which requires grad -> div v, (B,)."""


class ExactTrace:
    """One backward pass for each coordinate."""

    def __call__(self, velocity: Tensor, x: Tensor) -> Tensor:
        rows = velocity.flatten(1)
        total = rows.new_zeros(len(rows))
        for index in range(rows.shape[1]):
            (gradient,) = torch.autograd.grad(rows[:, index].sum(), x, retain_graph=True)
            total = total + gradient.flatten(1)[:, index]
        return total


class HutchinsonTrace:
    """The mean over random signs, which stay the same along the whole path.

    Args:
        signs: ±1, (K, B, ...) for states of shape (B, ...); see `random_signs`.
    """

    def __init__(self, signs: Tensor) -> None:
        self.signs = signs

    def __call__(self, velocity: Tensor, x: Tensor) -> Tensor:
        total = velocity.new_zeros(len(velocity))
        for e in self.signs:
            (gradient,) = torch.autograd.grad((velocity * e).sum(), x, retain_graph=True)
            total = total + (gradient * e).flatten(1).sum(1)
        return total / len(self.signs)


def random_signs(like: Tensor, *, count: int, generator: Generator) -> Tensor:
    """`count` draws of ±1 of the shape of `like`, (K, B, ...)."""
    bits = torch.randint(2, (count, *like.shape), generator=generator)
    return (2 * bits - 1).to(like)


def log_likelihood(
    velocity: Velocity, x1: Tensor, *, integrator: Integrator, divergence: Divergence
) -> Tensor:
    """log p(x1) of each sample by (6), (B,), in nats.

    Args:
        velocity: v(t, x) for states of the shape of x1.
        x1: data, (B, ...).
        integrator: follows the path backwards.
        divergence: `ExactTrace()` or `HutchinsonTrace(signs)`.
    """

    @torch.enable_grad()
    def augmented(time: Tensor, state: Tensor) -> Tensor:
        """The path and the integral of the divergence, side by side: (B, d + 1)."""
        x = state[:, :-1].view_as(x1).detach().requires_grad_()
        v = velocity(time, x)
        div = divergence(v, x)
        return torch.cat((v.flatten(1), div[:, None]), dim=1).detach()

    begin = torch.cat((x1.flatten(1), x1.new_zeros(len(x1), 1)), dim=1)
    end = integrator(augmented, begin, start=1.0, stop=0.0).end
    x0, integral = end[:, :-1], end[:, -1]
    normal = -0.5 * (x0.square() + math.log(2 * math.pi)).sum(1)
    return normal + integral
