"""Solvers: from noise to tokens, x = shift(x_<) + scale(x_<) · z, with a predictor.

The equation is triangular, so one pass over the tokens solves it exactly (`SequentialSolver`). It
is also a fixed point: `JacobiSolver` puts a guess of many tokens into the right-hand side again and
again until it stands still; every sweep makes at least one more group exact.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from starflow_v.flow.predictor import Predictor


@dataclass(frozen=True)
class Cost:
    """What solving took.

    Args:
        evaluations: calls of the network, one after the other (a guided call counts once).
        tokens: tokens evaluated, per sample.
        residual: the largest last change, in the solver's own norm; 0 if solved exactly.
        converged: whether every change came under the tolerance before the cap on sweeps.
    """

    evaluations: int = 0
    tokens: int = 0
    residual: float = 0.0
    converged: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.evaluations + other.evaluations,
            self.tokens + other.tokens,
            max(self.residual, other.residual),
            self.converged and other.converged,
        )


class Solver(Protocol):
    """Turns noise into tokens."""

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        """Solve for the next tokens and commit them.

        Args:
            predictor: the block, standing before the tokens asked for.
            noise: z, (B, S, C).
            guess: a first guess of the tokens, (B, S, C); `None` at the start of a sequence.

        Returns:
            The tokens (B, S, C), and what they cost.
        """


@dataclass(frozen=True)
class SequentialSolver:
    """Group after group, each evaluated once: exact."""

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        done = []
        groups = noise.split(predictor.group, dim=1)
        for z in groups:
            x = predictor.propose(z).denormalize(z)
            predictor.commit(x)
            done.append(x)
        return torch.cat(done, dim=1), Cost(len(groups), noise.shape[1])


@dataclass(frozen=True)
class JacobiSolver:
    """Jacobi sweeps over blocks of tokens, one block after the other (STARFlow-V).

    Args:
        block_size: tokens solved together, cut at the end of a frame.
        first_block_size: the same where no frame before gives a first guess (the first frame of the
            deep block, every frame of a shallow one); `None`: as `block_size`.
        tolerance: a block is done when its change falls under it; 0 or less: sweep until exact.
        max_sweeps: cap on the sweeps of a block; `None`: as many as make it exact.
        norm: "mean": mean squared change over mean square (the paper's rule); "max": largest change
            of a token's channel in units of the standard deviation of x.

    Raises:
        FloatingPointError: if tokens become NaN or infinite. (`SequentialSolver` does not look.)
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
        if not cost.converged:
            warnings.warn(
                f"Jacobi stopped at max_sweeps={self.max_sweeps} with a change of "
                f"{cost.residual:.2g}, above the tolerance {self.tolerance:g}; raise max_sweeps "
                "or the tolerance, or use smaller blocks",
                stacklevel=2,
            )
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
            raise FloatingPointError(
                "tokens became NaN or infinite in a Jacobi sweep: look for such values in the "
                "noise, the text, the prefix and the weights; a model in float16 may overflow, "
                "bfloat16 and float32 do not"
            )
        return largest
