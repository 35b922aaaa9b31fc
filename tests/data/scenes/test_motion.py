import numpy as np
import pytest

from starflow_v.data.scenes.motion import (
    Backwards,
    Bouncing,
    Straight,
    opposite,
    sample_trajectory,
)
from starflow_v.data.scenes.vocabulary import DIRECTIONS, MOTIONS

TIMES = np.linspace(0, 2, 17)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_sampled_object_stays_nearly_whole_in_the_picture(motion: str) -> None:
    rng = np.random.default_rng(0)
    for reach in (0.12, 0.33):
        for _ in range(50):
            path = sample_trajectory(rng, motion, reach=reach, duration=2.0).positions(TIMES)
            assert path.min() >= 0.8 * reach - 1e-9
            assert path.max() <= 1 - 0.8 * reach + 1e-9


@pytest.mark.parametrize("motion", DIRECTIONS)
def test_a_direction_is_where_the_object_goes(motion: str) -> None:
    path = sample_trajectory(np.random.default_rng(1), motion, reach=0.2, duration=2.0)
    moved = path.positions(TIMES)[-1] - path.positions(TIMES)[0]
    assert tuple(np.sign(np.round(moved, 6))) == DIRECTIONS[motion]
    assert np.abs(moved).max() > 0.25


def test_what_leaves_on_one_side_comes_in_on_the_other() -> None:
    path = Straight(start=(0.5, 0.5), velocity=(1.0, 0.0), margin=0.1)
    before, after = path.positions(np.asarray([0.59, 0.61]))[:, 0]
    assert before == pytest.approx(1.09)
    assert after == pytest.approx(-0.09)


def test_a_ball_never_sinks_below_its_floor_and_returns_to_it_each_period() -> None:
    ball = Bouncing(x=0.5, floor=0.8, height=0.4, period=1.0, phase=0.0)
    heights = ball.positions(np.linspace(0, 5, 101))[:, 1]
    assert heights.max() == pytest.approx(0.8)
    assert heights.min() == pytest.approx(0.4)
    np.testing.assert_allclose(ball.positions(np.arange(5.0))[:, 1], 0.8)


def test_backwards_is_the_same_way_from_its_end() -> None:
    path = Straight(start=(0.2, 0.3), velocity=(0.1, 0.2))
    np.testing.assert_allclose(
        Backwards(path, end=2.0).positions(TIMES), path.positions(TIMES)[::-1], atol=1e-12
    )
    assert opposite("up and left") == "down and right"
    assert opposite("still") == "still"
