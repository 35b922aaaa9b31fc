"""Solving at a place that has a name, so that whoever reads of trouble knows where to look."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import Cost, Solver

Solved = TypeVar("Solved", bound=tuple[Tensor, Cost] | None)


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
    return _at(place, lambda: solver.solve(predictor, noise, guess=guess))


def solve_frames_at(
    places: Iterable[str],
    solver: Solver,
    predictor: Predictor,
    noise: Iterable[Tensor],
    *,
    guess: Tensor | None = None,
) -> Iterator[tuple[Tensor, Cost]]:
    """`solver.solve_frames`, with the same; `places`: the block and the frame, of each."""
    frames = solver.solve_frames(predictor, noise, guess=guess)
    for place in places:
        solved = _at(place, lambda: next(frames, None))
        if solved is None:
            return
        yield solved


def _at(place: str, solve: Callable[[], Solved]) -> Solved:
    try:
        solved = solve()
    except FloatingPointError as error:
        raise FloatingPointError(f"{place}: {error}") from error
    if solved is not None and not solved[1].converged:
        warnings.warn(
            f"{place}: the cap on sweeps left a residual of {solved[1].residual:.2g}, above the "
            "tolerance; raise the solver's max_sweeps or its tolerance",
            stacklevel=3,
        )
    return solved
