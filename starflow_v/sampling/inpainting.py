"""Inpainting without training: samples of p(hidden | known) by the exact density of the flow.

The hidden numbers h of x = (h, known) are moved by the Metropolis-adjusted Langevin algorithm. From
h, with the score s = ∂ log p / ∂h, it proposes

    h' = h + e/2 · s(h) + √e · noise

and accepts with probability min(1, p(x') q(h | h') / (p(x) q(h' | h))), so that whatever the step e
the chain's distribution tends to p(h | known). A diffusion model cannot do this: the acceptance
needs the density itself. A proposal costs one pass forwards and backwards, whatever the number of
tokens; nothing is inverted.

How fast the chain forgets where it began is another matter: it moves in small steps, and a step
that is refused costs as much. `Chain.accepted` tells; e is adapted in the first half of the run
towards the best share, 0.57, and fixed in the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

BEST_SHARE = 0.574
"""Share of accepted proposals at which such chains move fastest in many dimensions."""

LogDensity = Callable[[Tensor], Tensor]
"""x (B, ...) -> log p(x) in nats, (B,), differentiable."""


@dataclass(frozen=True)
class Chain:
    """Where the chains ended.

    Args:
        x: like the start, the known numbers as they were.
        log_prob: log p(x), (B,).
        accepted: share of the proposals of the second half that were accepted, (B,).
    """

    x: Tensor
    log_prob: Tensor
    accepted: Tensor


class _Place(NamedTuple):
    x: Tensor
    log_prob: Tensor
    score: Tensor


def inpaint(
    log_density: LogDensity,
    start: Tensor,
    hidden: Tensor,
    *,
    steps: int,
    step_size: float = 1e-3,
    generator: Generator | None = None,
) -> Chain:
    """Run a chain for each sample.

    Args:
        log_density: log p(x).
        start: the known numbers, and a guess of the hidden ones, (B, ...).
        hidden: True where x is hidden, a shape that broadcasts to `start`.
        steps: proposals.
        step_size: e at first.
        generator: on the CPU.
    """
    if steps < 2 or not 0 < step_size < math.inf:
        raise ValueError(
            f"steps={steps}, step_size={step_size}: give at least 2, and a number above 0"
        )
    mask = hidden.expand_as(start).to(start)
    shape = (-1, *[1] * (start.ndim - 1))
    here = _look(log_density, start, mask)
    size = torch.full((len(start),), step_size, device=start.device)
    accepted = torch.zeros_like(size)
    for step in range(steps):
        e = size.view(shape)
        noise = torch.randn(start.shape, generator=generator).to(start) * mask
        there = _look(log_density, here.x + e / 2 * here.score + e.sqrt() * noise, mask)
        back = (here.x - there.x - e / 2 * there.score) / e.sqrt()
        ratio = there.log_prob - here.log_prob
        ratio = ratio + (noise.square() - (back * mask).square()).flatten(1).sum(1) / 2
        chance = ratio.nan_to_num(nan=-math.inf).clamp(max=0).exp()
        taken = torch.rand(len(start), generator=generator).to(start) < chance
        here = _Place(
            *(
                torch.where(taken.view(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(there, here, strict=True)
            )
        )
        if step < steps // 2:
            size = size * torch.exp(0.1 * (chance - BEST_SHARE))
        else:
            accepted += taken
    return Chain(here.x, here.log_prob, accepted / (steps - steps // 2))


def _look(log_density: LogDensity, x: Tensor, mask: Tensor) -> _Place:
    """The density and the hidden numbers' score at x."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone().detach().requires_grad_()
        log_prob = log_density(x)
        (score,) = torch.autograd.grad(log_prob.sum(), x)
    return _Place(x.detach(), log_prob.detach(), score * mask)
