"""Integrators count and converge; likelihoods agree with densities known in closed form."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.integrators import Adaptive, Euler
from starflow_v.baselines.likelihood import (
    ExactTrace,
    HutchinsonTrace,
    log_likelihood,
    random_signs,
)
from starflow_v.baselines.point_velocity import PointVelocity
from tests.conftest import draw

MEAN, SCALE = 1.5, 0.4


def exact_velocity(t: Tensor, x: Tensor) -> Tensor:
    """Of the independent lines from N(0, I) to N(m, s²): the flow ends in m + s·x0."""
    slope = (SCALE**2 * t - (1 - t)) / ((1 - t) ** 2 + (SCALE * t) ** 2)
    return MEAN + slope * (x - t * MEAN)


def exact_density(x: Tensor) -> Tensor:
    z = ((x - MEAN) / SCALE).flatten(1)
    return (-0.5 * (z.square() + math.log(2 * math.pi)) - math.log(SCALE)).sum(1)


def test_euler_converges_with_its_steps_and_counts_them() -> None:
    x0 = draw(5, 2)
    errors = []
    for steps in (50, 100, 200):
        end, evaluations = Euler(steps)(exact_velocity, x0)
        assert evaluations == steps
        errors.append(float((end - MEAN - SCALE * x0).abs().max()))
    assert errors[0] > 1.9 * errors[1] > 3.6 * errors[2]
    with pytest.raises(ValueError, match="1 or more"):
        Euler(0)


def test_one_step_is_enough_for_a_constant_velocity() -> None:
    x0, v = draw(5, 2), draw(5, 2, seed=1)
    assert_close(Euler(1)(lambda t, x: v, x0).end, x0 + v)
    assert_close(Euler(7)(lambda t, x: v, x0, start=1.0, stop=0.0).end, x0 - v)


def test_the_adaptive_integrator_is_exact_to_its_tolerance_and_counts() -> None:
    pytest.importorskip("torchdiffeq")
    calls = []

    def counted(t: Tensor, x: Tensor) -> Tensor:
        calls.append(float(t))
        return exact_velocity(t, x)

    x0 = draw(5, 2)
    end, evaluations = Adaptive(rtol=1e-8, atol=1e-8)(counted, x0)
    assert_close(end, MEAN + SCALE * x0, atol=1e-6, rtol=0)
    assert evaluations == len(calls) > 10
    rough = Adaptive(rtol=1e-2, atol=1e-2)(exact_velocity, x0)
    assert rough.evaluations < evaluations


@pytest.mark.parametrize("shape", [(6, 2), (3, 2, 2, 3)])
def test_the_likelihood_of_the_exact_velocity_is_the_density(shape: tuple[int, ...]) -> None:
    """All directions are alike, so one probe of Hutchinson's estimate is exact, too."""
    pytest.importorskip("torchdiffeq")
    x1 = MEAN + SCALE * draw(*shape)
    signs = random_signs(x1, count=1, generator=Generator().manual_seed(0))
    for divergence in (ExactTrace(), HutchinsonTrace(signs)):
        got = log_likelihood(
            exact_velocity, x1, integrator=Adaptive(1e-8, 1e-8), divergence=divergence
        )
        assert_close(got, exact_density(x1), atol=1e-5, rtol=0)


def test_the_traces_are_those_of_the_jacobian() -> None:
    torch.manual_seed(0)
    network, t = PointVelocity(4).double(), torch.tensor(0.3).double()
    x = draw(3, 4).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda x: network(t, x).sum(0), x)
    expected = torch.einsum("ibi->b", jacobian)
    assert_close(ExactTrace()(network(t, x), x), expected)
    signs = random_signs(x, count=1000, generator=Generator().manual_seed(0))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert_close(HutchinsonTrace(signs)(network(t, x), x), expected, atol=0.15, rtol=0)


def test_a_density_integrates_to_one() -> None:
    """Of an untrained network, over a grid that holds nearly all of it."""
    torch.manual_seed(1)
    network = PointVelocity(2)
    side = torch.linspace(-6, 6, 49)
    points = torch.cartesian_prod(side, side)
    log_p = log_likelihood(network, points, integrator=Euler(20), divergence=ExactTrace())
    assert log_p.exp().sum() * 0.25**2 == pytest.approx(1, abs=0.02)


def test_guidance_leads_away_from_the_unconditional_velocity() -> None:
    v, u = draw(2, 3), draw(2, 3, seed=1)
    assert_close(VelocityGuidance(0.0)(v, u), v)
    assert_close(VelocityGuidance(2.0)(v, u), 3 * v - 2 * u)
    assert not VelocityGuidance(0.0).active
    with pytest.raises(ValueError, match="0 \\(off\\) or more"):
        VelocityGuidance(-1.0)
