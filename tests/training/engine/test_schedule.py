"""Warm-up and cosine: the shape of the factor."""

from __future__ import annotations

import pytest

from starflow_v.training.engine.schedule import WarmupCosine


def test_shape() -> None:
    schedule = WarmupCosine(steps=110, warmup=10, floor=0.1)
    assert [schedule(step) for step in range(10)] == pytest.approx(
        [0.1 * (i + 1) for i in range(10)]
    )
    assert schedule(10) == pytest.approx(1.0)
    assert schedule(60) == pytest.approx(0.55)
    falling = [schedule(step) for step in range(10, 111)]
    assert falling == sorted(falling, reverse=True)
    assert schedule(110) == schedule(100_000) == pytest.approx(0.1)


def test_warmup_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and all 5 steps, got 6"):
        WarmupCosine(steps=5, warmup=6)
