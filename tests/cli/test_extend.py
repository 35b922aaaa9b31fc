import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVExtendPipeline
from starflow_v.cli.main import app
from starflow_v.data.video_io import probe_video, read_video
from tests.cli.commands import files_in, frames_of
from tests.cli.test_animate import model as model
from tests.data.video_io.clips import disc_clip, make_video


def extend(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["extend", *map(str, arguments)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second at 16 fps with a tone, twice as large and as fast as the model's."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_video(path, disc_clip(16, 64, 96), fps=16, sound=(0.0, 1.0))


def test_a_clip_goes_on_with_its_sound(model: Path, clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    result = extend(clip, "a red circle", "-o", video, "--model", model, "--seed", 3, "--frames", 8)
    assert result.exit_code == 0, result.output
    assert f"{video}: 16 frames of 48x32 at 8 fps, seed 3" in result.output
    made = read_video(video)
    assert made.frames.shape == (8 + 8, 32, 48, 3) and made.has_sound
    with av.open(str(video)) as container:
        seconds = container.streams.audio[0].duration * container.streams.audio[0].time_base
        assert 0.9 < seconds < 1.2
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    assert (record["task"], record["num_frames"]) == ("extend", 8)
    assert (record["frames"], record["total_frames"]) == (16, 16)
    assert record["given"]["video"]["path"] == str(clip)


def test_it_is_the_pipelines_video(model: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    more = ["--frames", 4, "--seed", 5, "--height", 16, "--width", 32, "--fps", 16]
    assert extend(clip, "a red circle", "-o", out, "--model", model, *more).exit_code == 0
    pipe = StarFlowVExtendPipeline.from_pretrained(model)
    expected = pipe(
        clip,
        "a red circle",
        num_frames=4,
        height=16,
        width=32,
        frame_rate=16,
        generator=torch.Generator().manual_seed(5),
    ).frames[0]
    assert expected.shape[0] == 16 + 4
    assert np.abs(frames_of(out) / 255 - expected).max() < 0.51 / 255


def test_a_record_makes_its_video_again_bit_for_bit(
    model: Path, clip: Path, tmp_path: Path
) -> None:
    video, again = tmp_path / "out.mp4", tmp_path / "again.mp4"
    assert extend(clip, "red", "-o", video, "--model", model, "--frames", 12).exit_code == 0
    result = extend("--from", video.with_suffix(".json"), "-o", again)
    assert result.exit_code == 0, result.output
    assert again.read_bytes() == video.read_bytes()


def test_ctrl_c_makes_a_shorter_video_that_can_be_made_again(
    model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, again = tmp_path / "out.mp4", tmp_path / "again.mp4"
    stream = StarFlowVExtendPipeline.stream

    def stopped(self: Any, *args: Any, **kwargs: Any) -> Iterator[np.ndarray]:
        made = 0
        for frames in stream(self, *args, **kwargs):
            if made == 12:
                raise KeyboardInterrupt
            made += frames.shape[1]
            yield frames

    with monkeypatch.context() as patch:
        patch.setattr(StarFlowVExtendPipeline, "stream", stopped)
        more = ["--model", model, "--frames", 8, "--compare"]
        result = extend(clip, "red", "-o", video, *more)
    assert result.exit_code == 130 and "holds 12 of 16 frames" in result.output
    assert len(read_video(tmp_path / "out.compare.mp4").frames) == 12
    result = extend("--from", video.with_suffix(".json"), "-o", again)
    assert "interrupted after 12 of 16 frames" in result.output
    assert again.read_bytes() == video.read_bytes()


def test_a_comparison_holds_the_last_frame_of_the_clip(
    model: Path, clip: Path, tmp_path: Path
) -> None:
    more = ["--model", model, "--frames", 4, "--compare"]
    assert extend(clip, "red", "-o", tmp_path / "out.webp", *more).exit_code == 0
    names = ["out.compare.mp4", "out.compare.png", "out.json", "out.webp"]
    assert files_in(tmp_path) == names
    both = read_video(tmp_path / "out.compare.mp4").frames[:, :, :48].astype(int)
    assert len(both) == 12
    assert np.abs(both[7] - both[11]).mean() < 2 < np.abs(both[0] - both[11]).mean()


def test_files_without_sound_go_on_silently(model: Path, tmp_path: Path) -> None:
    quiet = make_video(tmp_path / "quiet.mp4", disc_clip(5, 32, 48), fps=8)
    out = tmp_path / "out.mp4"
    assert extend(quiet, "red", "-o", out, "--model", model, "--frames", 4).exit_code == 0
    assert not probe_video(out).has_sound


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "cannot be opened"),
        ("concat:a.mp4|b.mp4", "no protocols"),
        ("https://example.org/a.mp4", "only files on this disk"),
        ("{folder}/text.mp4", "text.mp4"),
        ("{folder}/list.mp4", "list.mp4"),
        ("{folder}/sound.mp4", "sound.mp4"),
        ("{folder}/one.mp4", "at least 2, or animate it"),
        ("{folder}", "not a regular file"),
    ],
)
def test_what_is_no_clip_is_refused_and_leaves_nothing(
    model: Path, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile one.mp4\n")
    make_video(tmp_path / "sound.mp4", disc_clip(0), sound=(0.0, 1.0))
    make_video(tmp_path / "one.mp4", disc_clip(1, 32, 48), fps=8)
    video = name.format(folder=tmp_path)
    result = extend(video, "red", "-o", tmp_path / "new" / "out.mp4", "--model", model)
    assert result.exit_code == 2, result.output
    assert message in result.output and "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


def test_a_model_must_have_learned_to_go_on(pipeline: Path, clip: Path, tmp_path: Path) -> None:
    result = extend(clip, "red", "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert result.exit_code == 2 and "it would need extend" in result.output
