"""The older rule of guidance: a straight line through two predictions, and where that leads."""

import pytest
import torch
from torch.testing import assert_close

from starflow_v import AffineParams, DensityGuidance, LinearGuidance

CONDITIONAL = AffineParams(torch.tensor([[[1.0, -2.0]]]), torch.tensor([[[0.5, 2.0]]]))
NULL = AffineParams(torch.tensor([[[0.5, 1.0]]]), torch.tensor([[[1.0, 1.0]]]))


def test_weight_zero_is_the_conditional_model() -> None:
    made = LinearGuidance(0.0)(CONDITIONAL, NULL)
    assert_close(made.shift, CONDITIONAL.shift)
    assert_close(made.scale, CONDITIONAL.scale)
    assert not LinearGuidance(0.0).active and LinearGuidance(0.5).active


def test_shift_and_log_scale_lie_on_a_line() -> None:
    made = LinearGuidance(2.0)(CONDITIONAL, NULL)
    assert_close(made.shift, 3 * CONDITIONAL.shift - 2 * NULL.shift)
    assert_close(made.scale.log(), 3 * CONDITIONAL.scale.log() - 2 * NULL.scale.log())


@pytest.mark.parametrize("rule", [DensityGuidance, LinearGuidance])
def test_what_agrees_is_left_alone(rule) -> None:
    made = rule(5.0)(CONDITIONAL, CONDITIONAL)
    assert_close(made.shift, CONDITIONAL.shift)
    assert_close(made.scale, CONDITIONAL.scale)


def test_the_line_leaves_the_data_where_the_density_stays() -> None:
    """Where the condition makes the prediction surer, w = 100: 51 against just over 1."""
    surer = AffineParams(CONDITIONAL.shift[..., :1], CONDITIONAL.scale[..., :1])
    null = AffineParams(NULL.shift[..., :1], NULL.scale[..., :1])
    assert float(LinearGuidance(100.0)(surer, null).shift) == pytest.approx(51.0)
    assert 1.0 < float(DensityGuidance(100.0)(surer, null).shift) < 1.2


@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_other_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="guidance weight"):
        LinearGuidance(weight)
