"""Solvers by their names, with parameters of one's own: `paper:tolerance=1e-5,block_size=256`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from starflow_v.flow.solver import JacobiSolver, SequentialSolver, SlidingSolver, Solver

SEQUENTIAL = "sequential"
SOLVERS: dict[str, Solver] = {
    SEQUENTIAL: SequentialSolver(),
    "paper": JacobiSolver(block_size=512, first_block_size=64),
    "paper-tight": JacobiSolver(block_size=512, first_block_size=64),
    "ours": SlidingSolver(),
    "ours-tight": SlidingSolver(),
}
"""`paper` is STARFlow-V's scheme at its own tolerance, 1e-3 by its mean rule. Those that end in
`-tight` find their own tolerance, at which they are just right, see `tighten`: at equal error."""

RIGHT = 1e-2
"""Largest error against the sequential answer, in standard deviations, that counts as right."""
STEPS = 4
"""Tolerances in a decade."""
LADDER = tuple(10.0 ** (-step / STEPS) for step in range(STEPS, 11 * STEPS + 1))
"""Tolerances from a very loose one to one that rounding does not reach."""


def finds_its_tolerance(name: str) -> bool:
    """Whether a solver of that name, parameters or not, is one that `tighten` is for."""
    return name.partition(":")[0].endswith("-tight")


def solver_of(text: str) -> tuple[str, Solver]:
    """A name, or name:key=value,...: what tables call it, and the solver.

    Values are those of Python (`None`, 1e-3, 64) or plain words.
    """
    name, _, told = text.partition(":")
    if name not in SOLVERS:
        raise ValueError(f"solver {name!r} is not known; expected one of {', '.join(SOLVERS)}")
    changes = dict(_pair(text, pair) for pair in told.split(",") if pair)
    return text, _changed(name, SOLVERS[name], changes)


def tighten(solver: Solver, error_at: Callable[[Solver], float]) -> Solver:
    """The same with the loosest tolerance of `LADDER` at which it is right.

    Half of those that are left are put aside at a time: errors are taken to fall with the
    tolerance.

    Args:
        solver: a dataclass with a `tolerance`.
        error_at: the largest error of a solver against the sequential answer.

    Returns:
        If no tolerance will do, the one with tolerance 0, which is exact.
    """
    low, high = 0, len(LADDER)
    while low < high:
        middle = (low + high) // 2
        if error_at(_changed("tight", solver, {"tolerance": LADDER[middle]})) < RIGHT:
            high = middle
        else:
            low = middle + 1
    found = LADDER[low] if low < len(LADDER) else 0.0
    return _changed("tight", solver, {"tolerance": found})


def _pair(text: str, pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise ValueError(f"{pair!r} in solver {text!r}: expected key=value, such as tolerance=1e-3")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _changed(name: str, solver: Any, changes: dict[str, Any]) -> Solver:
    """A solver, which is a dataclass, with other parameters."""
    known = [field.name for field in fields(solver)]
    unknown = [key for key in changes if key not in known]
    if unknown:
        expected = ", ".join(known) or "none"
        raise ValueError(f"solver {name} has no parameter {unknown[0]!r}; expected {expected}")
    try:
        changed: Solver = replace(solver, **changes)
    except TypeError as error:
        raise ValueError(f"solver {name} cannot be made with {changes}: {error}") from None
    return changed
