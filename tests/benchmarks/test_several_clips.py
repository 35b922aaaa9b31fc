"""Solvers over several clips: sums, ratios, and clips that no tolerance makes right."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
from benchmarks import several_clips
from benchmarks.several_clips import PAPER, clips_of, compare


def row(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "evaluations": 10 * seconds}


def test_ratios_are_those_of_sums_and_clips_without_a_tolerance_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{PAPER: row(4.0), "ours": row(1.0)}, None, {PAPER: row(2.0), "ours": row(2.0)}]
    told = iter(rows)
    monkeypatch.setattr(several_clips, "at_equal_error", lambda *_: next(told))
    clips = [SimpleNamespace(prompt="a dot")] * 3
    found = compare(SimpleNamespace(), {}, clips, 0.0)
    assert (found["used"], found["clips"]) == (2, rows)
    assert found["ratios"]["ours"] == {"seconds": 0.5, "evaluations": 0.5}


def test_clips_are_of_the_models_size_but_where_another_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(several_clips, "held_out_scenes", lambda pipe, n: [(None, "a dot")] * n)
    pipe = SimpleNamespace(defaults=SimpleNamespace(height=1, width=2, num_frames=3))
    clips = clips_of(pipe, 2, {"height": 4})
    assert [(it.height, it.width, it.num_frames, it.seed) for it in clips] == [
        (4, 2, 3, 0),
        (4, 2, 3, 1),
    ]
