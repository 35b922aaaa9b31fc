"""What is left of a run that did not come to its end."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from starflow_v.data.video_io import VideoWriter, read_video
from tests.cli.commands import PROMPTS, files_in, generate, stop_after


def test_ctrl_c_makes_a_shorter_video_with_its_record(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 2, KeyboardInterrupt())
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text(PROMPTS, "utf-8")
    result = generate("--prompts", prompts, "-o", out, "--model", pipeline, "--batch-size", 2)
    assert result.exit_code == 130
    assert result.output.count("holds 5 of 9 frames") == 2
    videos = sorted(out.glob("*.mp4"))
    assert len(videos) == 2 and len(files_in(out)) == 4
    for video in videos:
        assert read_video(video).frames.shape == (5, 32, 48, 3)
        record = json.loads(video.with_suffix(".json").read_text("utf-8"))
        assert (record["frames"], record["num_frames"]) == (5, 9)


def test_ctrl_c_before_the_first_frame_leaves_nothing(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 0, KeyboardInterrupt())
    result = generate("red", "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert result.exit_code == 130 and result.output.endswith("interrupted\n")
    assert files_in(tmp_path) == []


def test_numbers_that_break_leave_the_frames_made_so_far(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 2, FloatingPointError("latent frame 2 in the deep block: NaN"))
    video = tmp_path / "out.mp4"
    result = generate("red", "-o", video, "--model", pipeline)
    assert result.exit_code == 1
    assert f"frame 2 in the deep block: NaN. {video} holds 5 of 9 frames" in result.output
    assert len(read_video(video).frames) == 5
    assert json.loads(video.with_suffix(".json").read_text("utf-8"))["frames"] == 5


def test_an_error_in_the_middle_leaves_the_latents_alone(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 1, RuntimeError("out of memory"))
    result = generate("red", "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert result.exit_code == 1
    assert "error: RuntimeError: out of memory" in result.output
    assert "starflow-v decode" in result.output
    assert files_in(tmp_path) == ["out.latents.safetensors"]


def test_a_full_disk_leaves_no_broken_video(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: VideoWriter, frames: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self.path))

    monkeypatch.setattr(VideoWriter, "write", full)
    result = generate("red", "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert result.exit_code == 1
    assert "error: No space left on device" in result.output
    assert files_in(tmp_path) == ["out.latents.safetensors"]
