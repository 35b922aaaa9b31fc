from collections.abc import Callable

import pytest

from starflow_v import JacobiSolver
from starflow_v.benchmark.solvers import LADDER, solver_of, tighten
from starflow_v.flow.solver import Solver


def error_of(factor: float) -> Callable[[Solver], float]:
    """The error is so many times the tolerance."""

    def error_at(solver: Solver) -> float:
        assert isinstance(solver, JacobiSolver)
        return factor * solver.tolerance

    return error_at


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(0.01, 1e-1), (5.0, 10**-2.75), (50.0, 10**-3.75), (1e6, 10**-8.25), (1e30, 0.0)],
)
def test_the_loosest_tolerance_that_is_right_is_found(factor: float, expected: float) -> None:
    found = tighten(JacobiSolver(block_size=8), error_of(factor))
    assert isinstance(found, JacobiSolver)
    assert found == JacobiSolver(block_size=8, tolerance=found.tolerance)
    assert found.tolerance == pytest.approx(expected)


def test_few_tolerances_are_tried() -> None:
    tried: list[Solver] = []

    def error_at(solver: Solver) -> float:
        tried.append(solver)
        return 1.0

    tighten(JacobiSolver(block_size=8), error_at)
    assert len(tried) <= len(LADDER).bit_length()


def test_parameters_are_read_as_python_has_them() -> None:
    name, solver = solver_of("paper:tolerance=1e-5,first_block_size=None,norm=max")
    assert name == "paper:tolerance=1e-5,first_block_size=None,norm=max"
    assert solver == JacobiSolver(block_size=512, tolerance=1e-5, norm="max")
