"""The benchmark of tasks asks what it says it asks."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from starflow_v.data.scenes import (
    Edit,
    StreamSettings,
    is_held_out,
    sample_scene,
    source_caption,
)
from starflow_v.evaluation.edit_checker import EditVerdict

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
import benchmarks.tasks as tasks

SHORT = StreamSettings(num_frames=17, height=32, width=32)


def test_edits_are_of_scenes_that_training_never_shows() -> None:
    edits = tasks.held_out_edits(StreamSettings(), "recolor", 4)
    assert all(is_held_out(it.before) and it.kind == "recolor" for it in edits)
    assert edits == tasks.held_out_edits(StreamSettings(), "recolor", 4)


def test_equal_pictures_have_the_best_ratio() -> None:
    black, gray = np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 0.1, np.float32)
    assert tasks.psnr_of(black, black) == 100
    assert tasks.psnr_of(gray, black) == pytest.approx(20, abs=1e-3)


def test_of_a_longer_clip_the_end_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit was undone after 17 frames, and all clips had 17."""
    seen: list[tuple[int, ...]] = []

    def pipe(clips: list[np.ndarray], *_: object, **more: object) -> SimpleNamespace:
        assert more["source_prompt"] == ""
        return SimpleNamespace(frames=np.stack(clips) / 255)

    def check(clip: np.ndarray, edit: Edit) -> EditVerdict:
        seen.append(clip.shape)
        last = tasks.film(edit.before, replace(SHORT, num_frames=29))[-17:]
        assert np.abs(clip.astype(int) - last).max() <= 1
        return EditVerdict(done=False, kept=True)

    monkeypatch.setattr(tasks, "stream_settings", lambda _: SHORT)
    monkeypatch.setattr(tasks, "check_edit", check)
    options = SimpleNamespace(
        clips=3, frames=29, guidance=None, fidelity=None, temperature=1.0, untold=True
    )
    found = tasks.edit(pipe, "recolor", options)
    assert seen == [(17, 32, 32, 3)] * 3
    assert (found["done"], found["kept"]) == (0, 1)


def test_a_description_counts_if_it_is_all_right(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [sample_scene(np.random.default_rng(seed), SHORT.scenes) for seed in (1, 2)]
    monkeypatch.setattr(
        tasks, "held_out_scenes", lambda *_, **__: list(zip("ab", scenes, strict=True))
    )
    said = {"a": [source_caption(scenes[0])], "b": ["a small red circle on a gray background"]}
    pipe = SimpleNamespace(caption_patterns=(), describe=said.get)
    assert tasks.describe(pipe, 2) == {"accuracy": 0.5}
    assert tasks.describe(SimpleNamespace(caption_patterns=None), 2) == {}
