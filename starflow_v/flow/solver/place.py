"""Solving at a place that has a name, so that whoever reads of trouble knows where to look."""

from __future__ import annotations

import warnings

from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import Cost, Solver


def solve_at(
    place: str,
    solver: Solver,
    predictor: Predictor,
    noise: Tensor,
    *,
    guess: Tensor | None = None,
) -> tuple[Tensor, Cost]:
    """`solver.solve`, with a warning if its cap on sweeps was hit.

    Args:
        place: the block and the frames.

    Raises:
        FloatingPointError: if tokens become NaN or infinite.
    """
    try:
        tokens, cost = solver.solve(predictor, noise, guess=guess)
    except FloatingPointError as error:
        raise FloatingPointError(f"{place}: {error}") from error
    if not cost.converged:
        warnings.warn(
            f"{place}: the cap on sweeps left a residual of {cost.residual:.2g}, above the "
            "tolerance; raise the solver's max_sweeps or its tolerance",
            stacklevel=2,
        )
    return tokens, cost
