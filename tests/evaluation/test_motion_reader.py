import numpy as np
import pytest

from starflow_v.data.scenes.motion import sample_trajectory
from starflow_v.data.scenes.vocabulary import MOTIONS
from starflow_v.evaluation.motion_reader import read_motion


@pytest.mark.parametrize("motion", MOTIONS)
def test_sampled_trajectories_are_read_right_in_spite_of_jitter(motion: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        path = sample_trajectory(rng, motion, reach=0.2, duration=2.0)
        centres = path.positions(np.arange(17) / 8)
        assert read_motion(centres + rng.normal(0, 0.008, centres.shape)) == motion


def test_two_centres_are_no_motion() -> None:
    assert read_motion(np.zeros((2, 2))) is None
