"""Solvers by their names, with parameters of one's own: `paper:tolerance=1e-5,block_size=256`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from starflow_v.flow.solver import JacobiSolver, SequentialSolver, SlidingSolver, Solver

SEQUENTIAL = "sequential"
TIGHT = "paper-tight"
SOLVERS: dict[str, Solver] = {
    SEQUENTIAL: SequentialSolver(),
    "paper": JacobiSolver(block_size=512, first_block_size=64),
    TIGHT: JacobiSolver(block_size=512, first_block_size=64),
    "ours": SlidingSolver(),
}
"""`paper` is STARFlow-V's scheme at its own tolerance, 1e-3 by its mean rule; `paper-tight` is the
same with a tolerance at which it is right, see `tighten`."""

RIGHT = 1e-2
"""Largest error against the sequential answer, in standard deviations, that counts as right."""
DECADES = tuple(10.0**-power for power in range(3, 12))
"""Tolerances from the paper's own to one that rounding does not reach."""


def solver_of(text: str) -> tuple[str, Solver]:
    """A name, or name:key=value,...: what tables call it, and the solver.

    Values are those of Python (`None`, 1e-3, 64) or plain words.
    """
    name, _, told = text.partition(":")
    if name not in SOLVERS:
        raise ValueError(f"solver {name!r} is not known; expected one of {', '.join(SOLVERS)}")
    changes = dict(_pair(text, pair) for pair in told.split(",") if pair)
    return text, _changed(name, SOLVERS[name], changes)


def tighten(solver: JacobiSolver, error_at: Callable[[Solver], float]) -> JacobiSolver:
    """The same with the loosest tolerance of `DECADES` at which it is right.

    Args:
        solver: the scheme.
        error_at: its largest error against the sequential answer.

    Returns:
        Half of the decades that are left are put aside at a time, so errors are taken to fall with
        the tolerance. Tolerance 0, which is exact, if none will do.
    """
    low, high = 0, len(DECADES)
    while low < high:
        middle = (low + high) // 2
        if error_at(replace(solver, tolerance=DECADES[middle])) < RIGHT:
            high = middle
        else:
            low = middle + 1
    return replace(solver, tolerance=DECADES[low] if low < len(DECADES) else 0.0)


def _pair(text: str, pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise ValueError(f"{pair!r} in solver {text!r}: expected key=value, such as tolerance=1e-3")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _changed(name: str, solver: Solver, changes: dict[str, Any]) -> Solver:
    assert is_dataclass(solver) and not isinstance(solver, type)
    known = [field.name for field in fields(solver)]
    unknown = [key for key in changes if key not in known]
    if unknown:
        expected = ", ".join(known) or "none"
        raise ValueError(f"solver {name} has no parameter {unknown[0]!r}; expected {expected}")
    try:
        return replace(solver, **changes)
    except TypeError as error:
        raise ValueError(f"solver {name} cannot be made with {changes}: {error}") from None
