"""The local half: every frame by itself."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.func import jacrev
from torch.testing import assert_close

from starflow_v import JacobiSolver, SequentialSolver
from starflow_v.flow.shallow import ShallowFlow


def tokens_of(case: SimpleNamespace) -> Tensor:
    return case.flow.to_tokens(case.x)


def test_frames_do_not_meet(case: SimpleNamespace) -> None:
    x, grid = tokens_of(case), case.flow.grid(case.x)
    u, log_det = case.flow.shallow(x, grid)
    for frame in range(x.shape[1]):
        alone = case.flow.shallow(x[:, frame : frame + 1], grid)
        assert_close(alone, (u[:, frame : frame + 1], log_det[:, frame : frame + 1]))


def test_the_log_det_of_a_token_is_its_own_even_where_the_order_is_reversed(
    case: SimpleNamespace,
) -> None:
    """One block is triangular: a token's log_det is that of its own square of the Jacobian."""
    grid, flow = case.flow.grid(case.x), case.flow.shallow
    frame = tokens_of(case)[:1, :1]
    for block, order in zip(flow.blocks, flow.orders, strict=True):
        one = ShallowFlow([block], [order], groups=flow.groups, reference=flow.reference)
        jacobian = jacrev(lambda x, one=one: one(x, grid)[0])(frame)[0, 0, :, :, 0, 0]
        own = torch.stack([jacobian[n, :, n] for n in range(grid.tokens)])
        assert_close(one(frame, grid)[1][0, 0], torch.linalg.slogdet(own).logabsdet)


@pytest.mark.parametrize("solver", [SequentialSolver(), JacobiSolver(3, tolerance=0)], ids=repr)
def test_solve_inverts_forward(
    case: SimpleNamespace, solver: SequentialSolver | JacobiSolver
) -> None:
    x, grid = tokens_of(case), case.flow.grid(case.x)
    with torch.no_grad():
        u, _ = case.flow.shallow(x, grid)
        solved, cost = case.flow.shallow.solve(u, grid, solver)
    assert_close(solved, x, atol=1e-9, rtol=1e-9)
    assert cost.converged


def test_frames_are_solved_side_by_side(case: SimpleNamespace) -> None:
    """The number of network calls does not grow with the video; the number of tokens does."""
    grid = case.flow.grid(case.x)
    costs = []
    for frames in (1, 3):
        u = tokens_of(case)[:, :frames]
        with torch.no_grad():
            costs.append(case.flow.shallow.solve(u, grid, SequentialSolver())[1])
    assert costs[0].evaluations == costs[1].evaluations
    assert 3 * costs[0].tokens == costs[1].tokens == case.blocks * 3 * case.tokens
