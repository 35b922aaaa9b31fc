"""Measures in time, on clips where the answer is known."""

import numpy as np
import pytest

from starflow_v.evaluation.temporal import drift, motion_smoothness, temporal_flicker
from tests.data.video_io.clips import gray_clip


def moving(step: list[int], *, side: int = 64) -> np.ndarray:
    """A bright square of 16 pixels on a dark ground, that many pixels on from frame to frame."""
    places = np.cumsum([8, *step])
    frames = np.full((len(places), side, side, 3), 20, np.uint8)
    for frame, left in zip(frames, places, strict=True):
        frame[24:40, left : left + 16] = 220
    return frames


def test_flicker() -> None:
    assert temporal_flicker(gray_clip([90] * 5)) == 0
    assert temporal_flicker(gray_clip([0, 50, 100, 150])) == pytest.approx(0)
    assert temporal_flicker(gray_clip([0, 255] * 3)) == pytest.approx(1)
    assert temporal_flicker(gray_clip([100, 151] * 3)) == pytest.approx(51 / 255)


def test_smoothness() -> None:
    steady = motion_smoothness(moving([3] * 8))
    assert motion_smoothness(moving([0] * 8)) == 1
    assert steady > 0.9
    to_and_fro = motion_smoothness(moving([3, -3] * 4))
    assert to_and_fro < 0.05
    stumbling = motion_smoothness(moving([3, 3, 0, 4, 3, 1, 3, 4]))
    assert to_and_fro < stumbling < steady
    noise = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    assert motion_smoothness(noise) < 0.3


def test_smoothness_is_the_same_forwards_and_backwards() -> None:
    clip = moving([3, 1, 0, 2, 4])
    assert motion_smoothness(clip) == pytest.approx(motion_smoothness(clip[::-1].copy()), abs=1e-5)


def test_drift() -> None:
    assert drift(gray_clip([90] * 10)) == 0
    assert drift(moving([3] * 9)) == pytest.approx(0, abs=1e-6)
    assert drift(gray_clip([0, 0, 100, 200, 255, 255]), share=1 / 3) == pytest.approx(0.5**0.5)
    assert drift(gray_clip([0, 255] * 10), share=0.1) == pytest.approx(0)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="needs at least 3"):
        temporal_flicker(gray_clip([0, 1]))
    with pytest.raises(ValueError, match="needs at least 2"):
        drift(gray_clip([0]))
    with pytest.raises(ValueError, match="expected uint8"):
        motion_smoothness(np.zeros((3, 8, 8, 3)))
    with pytest.raises(ValueError, match="give a smaller block"):
        motion_smoothness(np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"at most 0\.5"):
        drift(gray_clip([0, 1]), share=0.6)
