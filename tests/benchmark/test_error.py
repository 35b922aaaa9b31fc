from types import SimpleNamespace

import pytest
import torch

from starflow_v import DensityGuidance, JacobiSolver, SequentialSolver
from starflow_v.benchmark.clip import Made, Told
from starflow_v.benchmark.error import backward_error, deep_error, forward_error
from starflow_v.flow.solver import Cost, Solver
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import ContextWindow
from tests.conftest import FRAMES


def solved(case: SimpleNamespace, solver: Solver, weight: float, *, windowed: bool = False) -> Made:
    """A case under guidance, its text and its noise."""
    window = ContextWindow(2, 1) if windowed else None
    guidance, texts = DensityGuidance(weight), Texts(case.text, case.null_text)
    frames = case.flow.solve_deep(
        iter(case.z.split(1, dim=1)),
        case.text,
        frames=FRAMES,
        null_text=case.null_text,
        guidance=guidance,
        window=window,
        solver=solver,
    )
    u = torch.cat([frame for frame, _ in frames], dim=1)
    x, _ = case.flow.solve_shallow(u, solver)
    return Made(
        z=case.z,
        u=u,
        x=x,
        told=Told(texts=texts, restart=None, window=window, guidance=guidance),
        deep=Cost(),
        shallow=Cost(),
        seconds={},
    )


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_sequential_answer_solves_the_equation(
    text_case: SimpleNamespace, weight: float, windowed: bool
) -> None:
    made = solved(text_case, SequentialSolver(), weight, windowed=windowed)
    assert backward_error(text_case.flow, made, SequentialSolver()) < 1e-9


def test_a_wrong_token_is_found(text_case: SimpleNamespace) -> None:
    """The last token of all: nothing comes after it that would be wrong, too."""
    made = solved(text_case, SequentialSolver(), 1.0)
    grid, flow = text_case.flow.grid(made.u), text_case.flow
    order = flow.deep.order
    slots = order.to_slots(flow.to_tokens(made.u), grid).clone()
    step = 0.7 * float(made.u[0].std(correction=0))
    slots[0, -1, -1, 0] += step
    u = flow.to_latents(order.to_raster(slots, grid), grid)
    wrong = Made(**{**vars(made), "u": u})
    expected = step / float(u[0].std(correction=0))
    assert deep_error(flow, wrong) == pytest.approx(expected, rel=1e-6)
    assert forward_error(u, made.u) == pytest.approx(0.7)


def test_a_loose_solver_leaves_more(text_case: SimpleNamespace) -> None:
    loose = JacobiSolver(block_size=64, tolerance=10.0)
    tight = JacobiSolver(block_size=64, tolerance=1e-24)
    left = [
        backward_error(text_case.flow, solved(text_case, solver, 1.0), solver)
        for solver in (loose, tight)
    ]
    assert left[1] < 1e-9 and left[0] > left[1]
