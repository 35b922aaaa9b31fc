"""Every demo runs as it stands and leaves what it says."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starflow_v.data.video_io import read_video

DEMOS = Path(__file__).parents[2] / "demos"
SCRIPTS = {path.stem for path in DEMOS.glob("*.py")} - {"scene"}
WIDTHS = {"image_to_video": 4, "video_to_video": 4, "inversion": 4, "rank_captions": 2}
"""Demos that write one animation -> clips side by side in it."""

Run = Callable[..., Path]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a demo as a script, with its folder in front of the path, and gives its output."""

    def run(name: str, output: str | None, *arguments: str) -> Path:
        path = tmp_path / (output or "none")
        told = [] if output is None else ["-o", str(path)]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments, *told])
        monkeypatch.syspath_prepend(str(DEMOS))
        runpy.run_path(str(DEMOS / f"{name}.py"), run_name="__main__")
        return path

    return run


def test_all_are_known() -> None:
    tested = {*WIDTHS, "text_to_video", "stream_to_player", "train_on_ten_clips", "long_video"}
    assert tested == SCRIPTS
    text = (DEMOS / "README.md").read_text("utf-8")
    assert all(f"[{name}.py]({name}.py)" in text for name in SCRIPTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDTHS)
def test_a_demo_draws_an_animation(name: str, run: Run) -> None:
    with Image.open(run(name, "made.webp")) as animation:
        assert (animation.n_frames, animation.size) == (17, (64 * WIDTHS[name], 64))
        assert np.asarray(animation.convert("RGB")).std() > 10


def test_text_to_video(run: Run) -> None:
    files = sorted(run("text_to_video", "sentences").glob("*.mp4"))
    assert len(files) == 3
    assert all(read_video(file).frames.shape == (17, 64, 64, 3) for file in files)


@pytest.mark.slow
def test_the_loss_falls_on_ten_clips(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("train_on_ten_clips", "ten_clips")
    assert read_video(folder / "made.mp4").frames.shape == (17, 64, 64, 3)
    told = re.search(r"first step (\S+), of the last (\S+) nats", capsys.readouterr().out)
    assert told and float(told[2]) < float(told[1])


def test_a_stream_is_read_by_players(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Header and frames are of the size that they say; a red circle comes out red."""
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written))
    run("stream_to_player", None, "a red circle moves right on a blue background", "--frames", "5")
    header, _, rest = written.getvalue().partition(b"\n")
    assert header == b"YUV4MPEG2 W64 H64 F8:1 Ip C444"
    frames = [it for it in rest.split(b"FRAME\n") if it]
    assert [len(it) for it in frames] == [3 * 64 * 64] * 5
    planes = np.frombuffer(frames[-1], np.uint8).reshape(3, 64, 64)
    assert planes[1].mean() > 140, "blue is far above the middle"
    assert planes[2].max() > 180, "and somewhere it is red"
    assert "5 frames after" in capsys.readouterr().err
