"""STARFlow-V's scheme (arXiv 2511.20462): Jacobi sweeps over blocks of tokens, one after the other.

With the paper's rule a block is done when its *mean* change is small. A block of which a few tokens
still move may pass for done, and those are left wrong by standard deviations: see `sliding`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import NOT_FINITE, Cost
from starflow_v.flow.solver.frame_by_frame import FrameByFrame


@dataclass(frozen=True)
class JacobiSolver(FrameByFrame):
    """Jacobi sweeps over blocks of tokens, one block after the other (STARFlow-V).

    Args:
        block_size: tokens solved together, cut at the end of a frame.
        first_block_size: the same where no frame before gives a first guess (the first frame of the
            deep block, every frame of a shallow one); `None`: as `block_size`.
        tolerance: a block is done when its change falls under it; 0 or less: sweep until exact.
        max_sweeps: cap on the sweeps of a block; `None`: as many as make it exact.
        norm: "mean": mean squared change over mean square (the paper's rule); "max": largest change
            of a token's channel in units of the standard deviation of x.
    """

    block_size: int
    first_block_size: int | None = None
    tolerance: float = 1e-3
    max_sweeps: int | None = None
    norm: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        for name in ("block_size", "first_block_size", "max_sweeps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} is not valid: give a whole number above 0")
        if self.norm not in ("mean", "max"):
            raise ValueError(f'norm={self.norm!r} is not known: give "mean" or "max"')
        if not math.isfinite(self.tolerance):
            raise ValueError(f"tolerance={self.tolerance} is not valid: give a number such as 1e-3")

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        size = (self.first_block_size or self.block_size) if guess is None else self.block_size
        size = max(1, size // predictor.group) * predictor.group
        first = noise if guess is None else guess
        done, cost = [], Cost()
        for z, x in zip(noise.split(size, dim=1), first.split(size, dim=1), strict=True):
            tokens, spent = self._solve_block(predictor, z, x)
            done.append(tokens)
            cost += spent
        return torch.cat(done, dim=1), cost

    def _solve_block(self, predictor: Predictor, z: Tensor, x: Tensor) -> tuple[Tensor, Cost]:
        exact = z.shape[1] // predictor.group
        cap = exact if self.max_sweeps is None else min(self.max_sweeps, exact)
        residual, sweeps = math.inf, 0
        while sweeps < cap and residual > max(self.tolerance, 0.0):
            update = predictor.propose(x).denormalize(z)
            residual, x = self._change(update, x), update
            sweeps += 1
        predictor.commit(x)
        residual = 0.0 if sweeps == exact else residual
        cost = Cost(sweeps, sweeps * z.shape[1], residual, residual <= max(self.tolerance, 0.0))
        return x, cost

    def _change(self, new: Tensor, old: Tensor) -> float:
        """How far a sweep moved the block, the largest over the batch."""
        change, size = (new - old).flatten(1), new.flatten(1)
        if self.norm == "max":
            moved = change.abs().amax(1) / size.std(1, correction=0).clamp(min=1e-12)
        else:
            moved = change.square().mean(1) / size.square().mean(1).clamp(min=1e-24)
        largest = float(moved.max())
        if not math.isfinite(largest):
            raise FloatingPointError(NOT_FINITE)
        return largest
