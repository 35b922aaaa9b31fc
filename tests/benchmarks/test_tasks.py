"""The benchmark of tasks asks what it says it asks."""

import sys
from pathlib import Path

import numpy as np
import pytest

from starflow_v.data.scenes import StreamSettings, is_held_out

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
import benchmarks.tasks as tasks


def test_edits_are_of_scenes_that_training_never_shows() -> None:
    edits = tasks.held_out_edits(StreamSettings(), "recolor", 4)
    assert all(is_held_out(it.before) and it.kind == "recolor" for it in edits)
    assert edits == tasks.held_out_edits(StreamSettings(), "recolor", 4)


def test_equal_pictures_have_the_best_ratio() -> None:
    black, gray = np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 0.1, np.float32)
    assert tasks.psnr_of(black, black) == 100
    assert tasks.psnr_of(gray, black) == pytest.approx(20, abs=1e-3)
