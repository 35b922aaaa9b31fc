"""Frames that are left out: those that are there stay where they stand in the video."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from starflow_v import ContextWindow

ANGLES = {"atol": 1e-5, "rtol": 1e-5}  # tables of angles are float32


def test_frames_one_after_the_other_are_the_default(case: SimpleNamespace) -> None:
    times = torch.arange(case.x.shape[1])
    assert_close(case.flow(case.x, case.text, times=times), case.flow(case.x, case.text))


@torch.no_grad()
def test_without_text_only_distances_in_time_count(make_flow: Any) -> None:
    flow, x = make_flow(text_dim=None), torch.randn(2, 2, 2, 2, 2, dtype=torch.float64)
    apart, later, next_to = (
        flow(x, times=torch.tensor(times)).z for times in ([0, 5], [2, 7], [0, 1])
    )
    assert_close(apart, later, **ANGLES)
    assert_close(apart[:, 0], next_to[:, 0], **ANGLES)
    assert (apart[:, 1] - next_to[:, 1]).abs().max() > 1e-3


def test_a_time_is_wanted_for_each_frame(case: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"times has the shape \(2,\); expected \(3,\)"):
        case.flow(case.x, case.text, times=torch.arange(2))


def test_a_window_has_no_gaps(case: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="not both"):
        case.flow(case.x, case.text, times=torch.arange(3), window=ContextWindow(2, 1))


@torch.no_grad()
def test_the_denoiser_looks_one_frame_ahead_in_time_not_in_the_sequence(
    make_denoiser: Any,
) -> None:
    denoiser = make_denoiser(text_dim=None, window=6)
    x = torch.randn(1, 2, 2, 2, 1, dtype=torch.float64)
    other = torch.cat((x[:, :1], x[:, 1:] + 1), dim=1)
    for times, reached in (([0, 1], True), ([0, 5], False)):
        seen = [denoiser(it, times=torch.tensor(times))[:, 0] for it in (x, other)]
        assert bool((seen[0] - seen[1]).abs().max() > 1e-9) == reached
    follow = denoiser(x, times=torch.tensor([0, 1]))
    assert_close(follow, denoiser(x))
