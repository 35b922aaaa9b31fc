"""A sheet shows the frames themselves, in order, under their labels."""

import numpy as np
import pytest

from starflow_v.data.contact_sheet import contact_sheet
from tests.data.video_io.clips import gray_clip


def test_frames_stand_side_by_side_from_first_to_last() -> None:
    sheet = contact_sheet(gray_clip([0, 20, 40, 60, 80], 8, 10), columns=3, gap=2)
    assert sheet.shape == (12, 3 * 14, 3) and sheet.dtype == np.uint8
    assert sheet[6, [7, 21, 35], 0].tolist() == [0, 40, 80]
    assert (sheet[:2] == 255).all() and (sheet[:, 12:16] == 255).all()


def test_each_clip_has_a_row_and_a_label() -> None:
    clips = [gray_clip([0, 50], 8, 40), gray_clip([100], 8, 40)]
    sheet = contact_sheet(clips, ["first", "second"], gap=2, font_size=10)
    label, row = 10 + 4, 8 + 4
    assert sheet.shape == (2 * (label + row), 2 * 44, 3)
    assert sheet[:label].min() < 128  # ink
    assert sheet[label + row + label + 5, 10, 0] == 100
    assert (sheet[2 * label + row :, 44:] == 255).all()  # the shorter clip leaves its place empty


def test_pixels_can_be_drawn_larger() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
    sheet = contact_sheet(clip, scale=3, gap=0)
    assert np.array_equal(sheet[::3, ::3], clip[0]) and sheet.shape == (12, 12, 3)


def test_long_labels_are_cut() -> None:
    assert contact_sheet(gray_clip([0], 8, 30), ["word " * 50]).shape[1] == 38


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        contact_sheet([gray_clip([0], 8, 8), gray_clip([0], 8, 10)])
    with pytest.raises(ValueError, match="one size"):
        contact_sheet([])
    with pytest.raises(ValueError, match="2 labels for 1"):
        contact_sheet(gray_clip([0]), ["a", "b"])
