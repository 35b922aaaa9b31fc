"""Solvers against a predictor of one line; `test_starflow` has them on every kind of flow."""

import math
import warnings

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import AffineParams, JacobiSolver, SequentialSolver, SlidingSolver
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver import Cost, Solver, solve_at


class Sums:
    """shift = strength · (the sum of all earlier groups' tokens), scale = 2; it keeps a record."""

    def __init__(self, *, group: int = 1, strength: float = 0.4) -> None:
        self.group, self.strength = group, strength
        self.sum: Tensor | float = 0.0
        self.proposed: list[int] = []
        self.committed: list[int] = []

    def propose(self, guess: Tensor) -> AffineParams:
        self.proposed.append(guess.shape[1])
        self.guess = guess
        groups = guess.unflatten(1, (-1, self.group)).sum(2)
        before = (groups.cumsum(1) - groups).repeat_interleave(self.group, dim=1)
        return AffineParams(self.strength * (before + self.sum), torch.full_like(guess, 2.0))

    def commit(self, tokens: Tensor) -> None:
        self.committed.append(tokens.shape[1])
        self.sum = self.sum + tokens.sum(1, keepdim=True)

    def recall(self, count: int) -> None:
        return None

    def restart(self) -> None:
        raise NotImplementedError


def noise(tokens: int = 8, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, tokens, 3, generator=generator, dtype=torch.float64)


def solved_by_hand(z: Tensor, group: int) -> Tensor:
    x = torch.zeros_like(z)
    for start in range(0, z.shape[1], group):
        shift = 0.4 * x[:, :start].sum(1, keepdim=True)
        x[:, start : start + group] = shift + 2 * z[:, start : start + group]
    return x


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(
    "solver",
    [
        SequentialSolver(),
        JacobiSolver(4, tolerance=0),
        JacobiSolver(3, tolerance=-1.0, norm="max"),
        JacobiSolver(8, tolerance=1e-26),
        JacobiSolver(100, tolerance=1e-13, norm="max"),
        SlidingSolver(4, tolerance=0),
        SlidingSolver(3, tolerance=1e-13),
        SlidingSolver(None, tolerance=1e-13),
    ],
    ids=repr,
)
@pytest.mark.parametrize("guess", [None, noise(seed=1)], ids=["cold", "warm"])
def test_all_solvers_agree(solver: Solver, group: int, guess: Tensor | None) -> None:
    predictor: Predictor = Sums(group=group)
    tokens, cost = solver.solve(predictor, noise(), guess=guess)
    assert_close(tokens, solved_by_hand(noise(), group))
    assert cost.converged


@pytest.mark.parametrize("group", [1, 2, 4])
def test_sequential_proposes_and_commits_every_group_once(group: int) -> None:
    predictor = Sums(group=group)
    _, cost = SequentialSolver().solve(predictor, noise())
    assert predictor.proposed == predictor.committed == [group] * (8 // group)
    assert cost == Cost(evaluations=8 // group, tokens=8)


def test_jacobi_without_tolerance_sweeps_once_for_every_group_of_a_block() -> None:
    predictor = Sums(group=2)
    _, cost = JacobiSolver(4, tolerance=0).solve(predictor, noise())
    assert predictor.proposed == [4, 4, 4, 4]
    assert predictor.committed == [4, 4]
    assert cost == Cost(evaluations=4, tokens=16)


def test_a_block_of_one_group_is_sequential() -> None:
    _, cost = JacobiSolver(1, tolerance=1e-3).solve(Sums(group=2), noise())
    assert cost == Cost(evaluations=4, tokens=8)


def test_blocks_are_whole_groups_and_the_first_frame_has_its_own_size() -> None:
    solver = JacobiSolver(block_size=5, first_block_size=2, tolerance=0)
    first, later = Sums(group=2), Sums(group=2)
    solver.solve(first, noise())
    solver.solve(later, noise(), guess=noise(seed=1))
    assert first.committed == [2, 2, 2, 2]
    assert later.committed == [4, 4]


def test_independent_tokens_stand_still_at_the_second_sweep() -> None:
    _, cost = JacobiSolver(8, tolerance=1e-12).solve(Sums(strength=0.0), noise())
    assert (cost.evaluations, cost.residual, cost.converged) == (2, 0.0, True)


@pytest.mark.parametrize("norm", ["mean", "max"])
def test_a_good_guess_is_seen_at_the_first_sweep(norm: str) -> None:
    guess = solved_by_hand(noise(), group=1)
    solver = JacobiSolver(8, tolerance=1e-12, norm=norm)
    _, cost = solver.solve(Sums(), noise(), guess=guess)
    assert cost.evaluations == 1


@pytest.mark.parametrize("norm", ["mean", "max"])
def test_the_residual_is_the_last_change_in_the_norm(norm: str) -> None:
    predictor = Sums(strength=0.1)
    x, cost = JacobiSolver(8, tolerance=1e-3, norm=norm).solve(predictor, noise())
    change = (x - predictor.guess).flatten(1)
    expected = {
        "mean": change.square().mean(1) / x.flatten(1).square().mean(1),
        "max": change.abs().amax(1) / x.flatten(1).std(1, correction=0),
    }
    assert cost.evaluations < 8
    assert cost.residual == pytest.approx(float(expected[norm].max()))


def test_a_tighter_tolerance_costs_more_sweeps_and_leaves_less() -> None:
    costs = [
        JacobiSolver(8, tolerance=tolerance).solve(Sums(strength=0.1), noise())[1]
        for tolerance in (1e-1, 1e-3, 1e-6)
    ]
    assert costs[0].evaluations < costs[1].evaluations < costs[2].evaluations
    assert all(c.residual <= t for c, t in zip(costs, (1e-1, 1e-3, 1e-6), strict=True))


def test_the_slowest_sample_of_a_batch_decides() -> None:
    z = noise()
    z[1] = 0  # solved by its own noise
    both = JacobiSolver(8, tolerance=1e-6).solve(Sums(strength=0.1), z)[1]
    alone = JacobiSolver(8, tolerance=1e-6).solve(Sums(strength=0.1), z[:1])[1]
    assert both == alone


def test_a_cap_on_sweeps_warns_and_says_so() -> None:
    solver = JacobiSolver(8, tolerance=1e-9, max_sweeps=2)
    with pytest.warns(UserWarning, match=r"block 3: the cap.*above the tolerance; raise"):
        _, cost = solve_at("block 3", solver, Sums(), noise())
    assert not cost.converged
    assert cost.evaluations == 2
    assert cost.residual > 1e-9


def test_a_cap_that_makes_it_exact_is_no_cap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solver = JacobiSolver(2, tolerance=0, max_sweeps=2)
        _, cost = solve_at("block 3", solver, Sums(), noise())
    assert cost == Cost(evaluations=8, tokens=16)


class Broken(Sums):
    """A network that overflows from its third evaluation on."""

    def __init__(self, value: float) -> None:
        super().__init__(strength=0.1)
        self.value = value

    def propose(self, guess: Tensor) -> AffineParams:
        params = super().propose(guess)
        bad = torch.full_like(guess, self.value) if len(self.proposed) > 2 else params.shift
        return AffineParams(bad, params.scale)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("norm", ["mean", "max"])
@pytest.mark.parametrize("size", [1, 8])
def test_tokens_that_are_no_numbers_are_named(norm: str, value: float, size: int) -> None:
    """They passed for a block that had not converged, with the advice to raise max_sweeps."""
    solver = JacobiSolver(size, tolerance=0, norm=norm)
    with pytest.raises(FloatingPointError, match="block 3: tokens became NaN or infinite"):
        solve_at("block 3", solver, Broken(value), noise())


def test_a_block_of_a_single_number_has_no_spread_to_divide_by() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, _ = JacobiSolver(1, norm="max").solve(Sums(), noise(tokens=1)[..., :1])
    assert_close(x, 2 * noise(tokens=1)[..., :1])


def test_costs_add_up() -> None:
    total = Cost(2, 8, 0.1, True) + Cost(3, 4, 0.5, False)
    assert total == Cost(5, 12, 0.5, False)
