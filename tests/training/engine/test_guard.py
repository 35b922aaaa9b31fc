"""Which gradients are taken."""

from __future__ import annotations

import json

import pytest

from starflow_v.training.engine.guard import HISTORY, GradientGuard, Verdict


def settled() -> GradientGuard:
    guard = GradientGuard(multiple=5, patience=4)
    for norm in (1.0, 1.1, 0.9, 1.0):
        assert guard.judge(norm) is Verdict.ACCEPTED
    return guard


def test_outliers_are_refused_and_counted() -> None:
    guard = settled()
    assert guard.judge(5.1) is Verdict.OUTLIER
    assert guard.judge(4.9) is Verdict.ACCEPTED
    assert (guard.outliers, guard.not_finite) == (1, 0)


def test_everything_is_taken_before_the_norms_are_known() -> None:
    guard = GradientGuard(multiple=5, patience=4)
    assert [guard.judge(norm) for norm in (1.0, 100.0, 1.0)] == [Verdict.ACCEPTED] * 3


def test_not_finite_in_a_row() -> None:
    guard = settled()
    for count in (1, 2, 3):
        assert guard.judge(float("nan")) is Verdict.NOT_FINITE
        assert guard.in_a_row == count
    guard.judge(1.0)
    assert (guard.in_a_row, guard.not_finite) == (0, 3)


def test_new_usual_norms_are_adopted() -> None:
    """A curriculum's next stage once raised all norms tenfold, and every later step was refused."""
    guard = settled()
    verdicts = [guard.judge(10.0) for _ in range(HISTORY)]
    assert verdicts[0] is Verdict.OUTLIER
    assert verdicts[-1] is Verdict.ACCEPTED


def test_state_goes_on() -> None:
    guard, other = settled(), GradientGuard(multiple=5, patience=4)
    other.restore(json.loads(json.dumps(guard.state())))
    norms = [1.0, 7.0, float("inf"), 2.0]
    assert [guard.judge(n) for n in norms] == [other.judge(n) for n in norms]
    assert guard.state() == other.state()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="multiple must be above 1"):
        GradientGuard(multiple=0.5)
