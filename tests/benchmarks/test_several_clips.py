"""Solvers over several clips: sums, ratios, and clips that no tolerance makes right."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
from benchmarks import several_clips
from benchmarks.several_clips import PAPER, compare


def row(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "evaluations": 10 * seconds}


def test_ratios_are_those_of_sums_and_clips_without_a_tolerance_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{PAPER: row(4.0), "ours": row(1.0)}, None, {PAPER: row(2.0), "ours": row(2.0)}]
    told = iter(rows)
    monkeypatch.setattr(several_clips, "at_equal_error", lambda *_: next(told))
    monkeypatch.setattr(several_clips, "held_out_scenes", lambda pipe, n: [(None, "a dot")] * n)
    size = SimpleNamespace(height=1, width=1, num_frames=1)
    found = compare(SimpleNamespace(defaults=size), {}, 3, 0.0)
    assert (found["used"], found["clips"]) == (2, rows)
    assert found["ratios"]["ours"] == {"seconds": 0.5, "evaluations": 0.5}
