import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import AffineParams, DensityGuidance


def params(shift: float, scale: float) -> AffineParams:
    return AffineParams(*torch.tensor([[[[shift]]], [[[scale]]]], dtype=torch.float64))


def log_normal(x: Tensor, p: AffineParams) -> Tensor:
    return torch.distributions.Normal(p.shift, p.scale).log_prob(x)


@pytest.mark.parametrize("weight", [0.5, 3.5])
@pytest.mark.parametrize("scale", [0.4, 1.3])
def test_it_samples_from_the_sharpened_density(weight: float, scale: float) -> None:
    """log p_c + w (log p_c - log p_u) up to a constant, where the condition is the sharper one."""
    conditional, unconditional = params(0.7, scale), params(-0.4, 1.3)
    guided = DensityGuidance(weight)(conditional, unconditional)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    log_c, log_u = log_normal(x, conditional), log_normal(x, unconditional)
    difference = log_normal(x, guided) - (log_c + weight * (log_c - log_u))
    assert_close(difference, difference[..., :1].expand_as(difference))


def test_it_is_the_formula() -> None:
    w, s = 2.0, (0.5 / 0.8) ** 2
    guided = DensityGuidance(w)(params(0.3, 0.5), params(-0.2, 0.8))
    precision = 1 + w - w * s
    assert_close(guided.scale.item(), 0.5 / precision**0.5)
    assert_close(guided.shift.item(), ((1 + w) * 0.3 - w * s * -0.2) / precision)


def test_a_condition_that_is_less_sure_pushes_away_only() -> None:
    """scale_c > scale_u would make the density improper: s stops at one, the scale stays."""
    guided = DensityGuidance(2.0)(params(0.3, 1.6), params(-0.2, 0.8))
    assert_close(guided.scale.item(), 1.6)
    assert_close(guided.shift.item(), 3 * 0.3 - 2 * -0.2)


def test_weight_zero_is_off_and_the_identity() -> None:
    conditional = params(0.3, 0.5)
    guided = DensityGuidance(0.0)(conditional, params(-0.2, 0.8))
    assert not DensityGuidance(0.0).active
    assert DensityGuidance(0.1).active
    assert_close((guided.shift, guided.scale), (conditional.shift, conditional.scale))
