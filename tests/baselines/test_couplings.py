"""Couplings keep their marginals, weights are stable, and what the paper says of their plan."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from starflow_v.baselines import transport
from starflow_v.baselines.couplings import (
    IndependentCoupling,
    OptimalTransportCoupling,
    WeightedCoupling,
)
from starflow_v.baselines.gibbs import (
    batch_weights,
    choose_kappa,
    effective_sample_size,
    gibbs_scale,
    log_gibbs,
    tilt_variance,
)
from starflow_v.baselines.points import eight_gaussians, standard_normal, two_moons
from tests.conftest import draw

COUPLINGS = [IndependentCoupling(), OptimalTransportCoupling(), WeightedCoupling(1.0)]


def rows(points: Tensor) -> list[tuple[float, ...]]:
    return sorted(map(tuple, points.flatten(1).tolist()))


@pytest.mark.parametrize("coupling", COUPLINGS, ids=lambda it: type(it).__name__)
def test_the_points_stay_the_same_and_the_data_in_their_order(coupling) -> None:
    x0, x1 = draw(16, 2, 3, seed=0), draw(16, 2, 3, seed=1)
    pairs = coupling(x0, x1)
    assert rows(pairs.x0) == rows(x0)
    assert_close(pairs.x1, x1)
    assert_close(pairs.weight.mean(), torch.ones((), dtype=pairs.weight.dtype))


def test_optimal_pairs_are_as_cheap_as_any_order_can_be() -> None:
    x0, x1 = draw(6, 2, seed=0), draw(6, 2, seed=1)
    pairs = OptimalTransportCoupling()(x0, x1)
    cost = (pairs.x0 - pairs.x1).square().sum()
    orders = torch.tensor(list(permutations(range(6))))
    every = (x0[orders] - x1).square().sum((1, 2))
    assert_close(cost, every.min())


@pytest.mark.parametrize("count", [1, 7, 33, 160])
def test_an_assignment_is_a_permutation(count: int) -> None:
    """Masses of 1/n are rounded where n is no power of two."""
    pytest.importorskip("scipy")
    columns = transport.assign(draw(count, count).square())
    assert sorted(columns.tolist()) == list(range(count))


def test_both_solvers_find_the_same_minimum() -> None:
    pytest.importorskip("ot")
    pytest.importorskip("scipy")
    cost = draw(40, 40).square()
    by_scipy = transport._assign_with_scipy(cost.numpy())
    assert_close(transport.assign(cost), by_scipy)


def test_a_cost_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"square cost matrix, got \(2, 3\)"):
        transport.assign(torch.zeros(2, 3))


def test_weights_do_not_underflow() -> None:
    """Raw weights of distances near a thousand, exp(-1000), are zero in float32."""
    x0, x1 = draw(8, 3072, seed=0).float(), draw(8, 3072, seed=1).float() + 18
    log_weights = log_gibbs(x0, x1, 1.0)
    assert log_weights.exp().sum() == 0
    weights = batch_weights(log_weights)
    assert torch.isfinite(weights).all() and weights.max() > 1
    assert_close(weights.mean(), torch.tensor(1.0))
    assert_close(batch_weights(log_weights - 500), weights, rtol=1e-3, atol=1e-4)


def test_the_norm_is_not_squared() -> None:
    x0, x1 = torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert_close(log_gibbs(x0, x1, 2.0), torch.tensor([-2.5, -5.0]))


def test_effective_sample_size() -> None:
    assert_close(effective_sample_size(torch.full((5,), 3.0)), torch.tensor(5.0))
    assert_close(effective_sample_size(torch.tensor([0.0, 2.0, 0.0])), torch.tensor(1.0))
    sizes = [
        float(effective_sample_size(WeightedCoupling(k)(draw(64, 2), draw(64, 2, seed=1)).weight))
        for k in (0.1, 0.5, 2.0, 10.0)
    ]
    assert sizes == sorted(sizes) and sizes[0] < 16 and sizes[-1] > 63


@pytest.mark.parametrize("kappa", [0.0, -1.0, float("nan")])
def test_a_kappa_that_is_not_positive_is_refused(kappa: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        WeightedCoupling(kappa)


def sinkhorn(cost: Tensor, eps: float, a: Tensor, b: Tensor) -> Tensor:
    """The plan of entropic optimal transport between the weights a and b, in the log domain."""
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(1000):
        f = -eps * torch.logsumexp((g - cost) / eps + b.log(), dim=1)
        g = -eps * torch.logsumexp((f[:, None] - cost) / eps + a.log()[:, None], dim=0)
    return a[:, None] * b * torch.exp((f[:, None] + g - cost) / eps)


def gibbs_plan(cost: Tensor, eps: float) -> Tensor:
    """The joint weights p(x0)·p(x1)·w / Z of points that are equally likely."""
    plan = torch.exp(-cost / eps)
    return plan / plan.sum()


def test_weighted_pairs_are_the_entropic_plan_of_their_own_marginals() -> None:
    cost = torch.cdist(draw(7, 2, seed=0), 1 + draw(9, 2, seed=1))
    for eps in (0.3, 1.0):
        plan = gibbs_plan(cost, eps)
        assert_close(sinkhorn(cost, eps, plan.sum(1), plan.sum(0)), plan, atol=1e-9, rtol=1e-6)


def test_without_a_tilt_they_are_the_entropic_plan_of_the_given_marginals() -> None:
    """Equally spaced points of two circles: each is as far from the others as the next one."""
    angles = torch.arange(12).double() * (2 * torch.pi / 12)
    circle = torch.stack((angles.cos(), angles.sin()), dim=1)
    even = torch.full((12,), 1 / 12, dtype=torch.float64)
    for eps in (0.1, 1.0):
        cost = torch.cdist(circle, 2 * circle)
        plan = gibbs_plan(cost, eps)
        assert tilt_variance(circle, 2 * circle, eps) < 1e-10
        assert_close(sinkhorn(cost, eps, even, even), plan, atol=1e-12, rtol=1e-8)


def test_the_plan_approaches_the_entropic_one_as_the_tilt_goes() -> None:
    x0, x1 = draw(8, 2, seed=0), 1 + draw(8, 2, seed=1)
    cost, even = torch.cdist(x0, x1), torch.full((8,), 1 / 8, dtype=torch.float64)
    distances, tilts = [], []
    for eps in (0.5, 1.0, 2.0, 8.0, 32.0):
        difference = gibbs_plan(cost, eps) - sinkhorn(cost, eps, even, even)
        distances.append(float(difference.abs().sum()))
        tilts.append(tilt_variance(x0, x1, eps))
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.03
    assert tilts == sorted(tilts, reverse=True) and tilts[-1] < 1e-3


def test_the_pairs_of_many_batches_are_distributed_as_the_plan() -> None:
    """What the objective sees: weights added up by where the two points of a pair lie."""
    points = torch.tensor([[-1.0, 0.0], [0.5, 1.0], [2.0, -1.0]]).double()
    generator = Generator().manual_seed(0)
    coupling, seen = WeightedCoupling(0.7), torch.zeros(9).double()
    for _ in range(40):
        i, j = torch.randint(3, (2, 4000), generator=generator)
        pairs = coupling(points[i], 1 + points[j])
        seen.index_add_(0, 3 * i + j, pairs.weight / (40 * 4000))
    plan = gibbs_plan(torch.cdist(points, 1 + points), gibbs_scale(0.7, 2))
    assert_close(seen.view(3, 3), plan, atol=0.005, rtol=0)


def test_kappa_lies_where_the_tilt_begins_and_follows_the_units() -> None:
    generator = Generator().manual_seed(0)
    x0, x1 = eight_gaussians(256, generator), two_moons(256, generator)
    choice = choose_kappa(x0, x1)
    assert list(choice.variances) == sorted(choice.variances, reverse=True)
    chosen = choice.variances[choice.candidates.index(choice.kappa)]
    assert 0.02 < chosen < 1.5 < choice.variances[0]
    assert choose_kappa(10 * x0, 10 * x1).kappa == pytest.approx(10 * choice.kappa, rel=1e-4)
    assert choose_kappa(x0, x1, [3.0, 0.5, 1.0]).kappa in (0.5, 1.0, 3.0)
    with pytest.raises(ValueError, match="at least three different candidates"):
        choose_kappa(x0, x1, [1.0, 2.0])
    for candidates in ([1.0, 1.0, 1.0], [0.5, 1.0, math.inf], [0.0, 0.5, 1.0]):
        with pytest.raises(ValueError, match="three different candidates"):
            choose_kappa(x0, x1, candidates)
    with pytest.raises(ValueError, match="differ in shape"):
        choose_kappa(x0, torch.cat((x1, x1), dim=1))


@pytest.mark.parametrize("sampler", [standard_normal, eight_gaussians, two_moons])
def test_points_are_a_function_of_the_seed(sampler) -> None:
    first, again, other = (sampler(20, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (20, 2) and np.array_equal(first, again)
    assert not torch.equal(first, other)
