import numpy as np
import pytest

from starflow_v.evaluation.heat_map import HIGH, LOW, MIDDLE, heat_map
from tests.data.video_io.clips import gray_clip


def test_each_token_has_the_colour_of_its_value() -> None:
    values = np.array([[[0.0, 1.0]], [[0.5, 0.25]]])
    painted = heat_map(gray_clip([0] * 5, 4, 8), values, opacity=1, span=(0, 1))
    assert painted.shape == (5, 4, 8, 3)
    assert np.all(painted[0, :, :4] == LOW) and np.all(painted[0, :, 4:] == HIGH)
    assert np.all(painted[1:, :, :4] == MIDDLE)
    assert np.all(np.abs(painted[4, 0, 7].astype(int) - np.add(LOW, MIDDLE) / 2) <= 1)


def test_the_frames_shine_through() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    values = np.random.default_rng(1).normal(size=(2, 2, 2))
    gray = heat_map(frames, values, opacity=0)
    assert np.array_equal(gray[..., 0], gray[..., 2])
    bright = frames.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(gray[..., 0] - bright).max() <= 0.5
    assert heat_map(frames, np.zeros((2, 2, 2))).dtype == np.uint8


@pytest.mark.parametrize("shape", [(2, 3, 2), (1, 2, 2), (3, 2, 2)])
def test_values_must_fit_the_frames(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit 5 frames of 8x8"):
        heat_map(gray_clip([0] * 5, 8, 8), np.zeros(shape))
