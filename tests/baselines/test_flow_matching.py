"""The objective: lines at constant speed, weights that count, limits that are known."""

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

from starflow_v.baselines.couplings import IndependentCoupling, WeightedCoupling
from starflow_v.baselines.flow_matching import flow_matching_loss, interpolate, target_velocity
from starflow_v.baselines.integrators import Euler
from starflow_v.baselines.point_velocity import PointVelocity
from tests.conftest import draw


def test_the_line_has_the_target_as_its_constant_velocity() -> None:
    x0, x1 = draw(3, 2, 4, seed=0), draw(3, 2, 4, seed=1)
    for shape in ((3,), (3, 2)):
        t = draw(*shape, seed=2).sigmoid()
        moved = interpolate(x0, x1, t + 0.25) - interpolate(x0, x1, t)
        assert_close(moved / 0.25, target_velocity(x0, x1))
    assert_close(interpolate(x0, x1, torch.zeros(3)), x0)
    assert_close(interpolate(x0, x1, torch.ones(3)), x1)


def test_times_must_lead() -> None:
    with pytest.raises(ValueError, match="do not lead"):
        interpolate(draw(3, 2), draw(3, 2), torch.zeros(2))


def test_the_loss_is_the_weighted_mean_over_pairs() -> None:
    prediction, target = draw(4, 3, seed=0), draw(4, 3, seed=1)
    one = flow_matching_loss(prediction, target, torch.ones(4))
    assert_close(one, (prediction - target).square().mean())
    only = flow_matching_loss(prediction, target, torch.tensor([0.0, 4.0, 0.0, 0.0]))
    assert_close(only, (prediction[1] - target[1]).square().mean())


def gradient(coupling: object) -> torch.Tensor:
    torch.manual_seed(0)
    network = PointVelocity(3).double()
    x0, x1, weight = coupling(draw(32, 3, seed=0), 2 + draw(32, 3, seed=1))
    t = draw(32, seed=2).sigmoid()
    loss = flow_matching_loss(network(t, interpolate(x0, x1, t)), x1 - x0, weight)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*network.parameters()])])


def test_without_weights_it_is_plain_flow_matching() -> None:
    """The limit eps -> infinity, and the way to it: the difference falls as 1/eps."""
    plain = gradient(IndependentCoupling())

    def error(kappa: float) -> float:
        return float((gradient(WeightedCoupling(kappa)) - plain).norm() / plain.norm())

    assert error(1e7) < 1e-6
    assert error(1e3) == pytest.approx(10 * error(1e4), rel=0.01)
    assert error(1.0) > 0.1
    assert error(float("inf")) == 0


def test_a_velocity_is_learned_between_two_normals() -> None:
    """N(0, I) -> N(m, s²): the minimum of the objective has a closed form, affine in x."""
    generator = Generator().manual_seed(0)
    torch.manual_seed(0)
    m, s = torch.tensor([1.0, -0.5]), 0.5
    network = PointVelocity(2, width=32, layers=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - step / 400)
        x0 = torch.randn(512, 2, generator=generator)
        x1 = m + s * torch.randn(512, 2, generator=generator)
        t = torch.rand(512, generator=generator)
        prediction = network(t, interpolate(x0, x1, t))
        loss = flow_matching_loss(prediction, target_velocity(x0, x1), torch.ones(512))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def exact(t: float, x: torch.Tensor) -> torch.Tensor:
        return m + (s**2 * t - (1 - t)) / ((1 - t) ** 2 + (s * t) ** 2) * (x - t * m)

    x0 = torch.randn(1024, 2, generator=generator)
    with torch.no_grad():
        for t in (0.1, 0.5, 0.9):
            x = interpolate(x0, m + s * x0.flip(0), torch.full((1024,), t))
            error = network(torch.tensor(t), x) - exact(t, x)
            assert error.square().mean().sqrt() < 0.12
        end = Euler(20)(network, x0).end
    assert_close(end.mean(0), m, atol=0.08, rtol=0)
    assert_close(end.std(0), torch.full((2,), s), atol=0.08, rtol=0)
