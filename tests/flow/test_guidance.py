import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import AffineParams, DensityGuidance, EachVideo, LinearGuidance


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


def several(*each: AffineParams) -> AffineParams:
    return AffineParams(torch.cat([it.shift for it in each]), torch.cat([it.scale for it in each]))


def test_each_video_has_its_own_rule() -> None:
    rules = (DensityGuidance(2.0), DensityGuidance(0.0), LinearGuidance(1.0))
    told = [params(0.3, 0.5), params(0.1, 0.4), params(-0.6, 1.2)]
    untold = [params(-0.2, 0.8), params(0.5, 0.9), params(0.2, 1.1)]
    each = EachVideo(rules)
    guided = each(several(*told), several(*untold))
    alone = several(*(rule(c, u) for rule, c, u in zip(rules, told, untold, strict=True)))
    assert_close((guided.shift, guided.scale), (alone.shift, alone.scale))
    assert each.active and each.weight == 2.0
    assert not EachVideo([DensityGuidance(0.0)] * 2).active


def test_each_video_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"2 rules of guidance and 1 videos .*one rule for each"):
        EachVideo([DensityGuidance(1.0)] * 2)(params(0.3, 0.5), params(-0.2, 0.8))
    for rules in ([], [DensityGuidance(1.0), DensityGuidance(1.0, 1.5)]):
        with pytest.raises(ValueError, match="all of the same temperature"):
            EachVideo(rules)
