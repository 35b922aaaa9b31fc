"""`fit` keeps proportions, centres, and does not alias."""

import numpy as np
import pytest

from starflow_v.data.video_io import fit
from tests.data.video_io.clips import disc_clip


def test_the_same_size_is_left_alone() -> None:
    frames = disc_clip(2, 48, 64)
    assert fit(frames, 48, 64) is frames


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (31, 97), (200, 30)])
@pytest.mark.parametrize("size", [(32, 32), (64, 40), (96, 128)])
def test_a_clip_gets_the_size(shape: tuple[int, int], size: tuple[int, int]) -> None:
    frames = disc_clip(2, *shape)
    fitted = fit(frames, *size)
    assert fitted.shape == (2, *size, 3) and fitted.dtype == np.uint8
    assert np.array_equal(fitted[1], fit(frames[1], *size))


def test_a_wide_picture_loses_its_sides_evenly() -> None:
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, :10, 0] = picture[:, 10:20, 1] = picture[:, 20:, 2] = 255
    assert np.array_equal(fit(picture, 10, 10), picture[:, 10:20])


def test_a_disc_stays_a_disc() -> None:
    red = fit(disc_clip(8, 90, 160)[4], 64, 64)[:, :, 0] > 128
    assert abs(red.any(1).sum() - red.any(0).sum()) <= 1


def test_fine_stripes_become_grey() -> None:
    """Without antialiasing, every 8th column would be picked: all black or all white."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(fit(stripes, 8, 8)[:, 1:-1].astype(int) - 128).max() < 10


def test_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0x4"):
        fit(disc_clip(1), 0, 4)
