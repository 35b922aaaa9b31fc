"""`score` and `rank` on real files, through the real entry point."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVPipeline
from starflow_v.cli.main import app
from starflow_v.data.video_io import read_image, read_video
from tests.data.video_io.clips import disc_clip, make_video

PROMPT = "a red circle moves right"


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, *map(str, arguments)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """17 frames at 16 fps, twice as large and as fast as the model's."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_video(path, disc_clip(17, 64, 96), fps=16)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26 frames of another shape at the model's rate: seven latents, for a window of three."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return make_video(path, disc_clip(26, 50, 46), fps=8)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captions") / "captions.txt"
    path.write_text(f"# captions\n{PROMPT}\na blue circle\n{PROMPT}\na big background\n", "utf-8")
    return path


def test_videos_are_scored(pipeline: Path, clip: Path, long: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    more = ["--prompt", PROMPT, "--model", pipeline, "--draws", 2, "--seed", 3, "--json", out]
    result = run("score", clip, long, *more)
    assert result.exit_code == 0, result.output
    assert f"{clip}: 9 frames of 48x32 at 8 fps" in result.output
    assert "the last 1 of 26 frames" in result.output
    data = json.loads(out.read_text("utf-8"))
    assert (data["prompt"], data["draws"], data["seed"]) == (PROMPT, 2, 3)
    first, second = data["videos"]
    assert (first["frames"], second["frames"]) == (9, 25)
    assert (len(first["frame_bits"]), len(second["frame_bits"])) == (3, 7)
    assert np.shape(second["token_bits"]) == (7, 2, 2)
    for row in (first, second):
        assert np.mean(row["frame_bits"]) == pytest.approx(row["bits"])
        assert -row["log_prob"] / math.log(2) / row["dimensions"] == pytest.approx(row["bits"])
        assert f"{row['bits']:.4f} ± {row['error']:.4f}" in result.output
    frames = read_video(clip, fps=8, size=(32, 48)).frames
    generator = torch.Generator().manual_seed(3)
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    score = pipe.score(frames, PROMPT, draws=2, generator=generator)
    assert score.bits == pytest.approx(first["bits"], abs=1e-5)


def test_the_heat_map_is_a_picture(pipeline: Path, clip: Path, tmp_path: Path) -> None:
    out, numbers = tmp_path / "heat.png", tmp_path / "one.json"
    options = ["--prompt", PROMPT, "--model", pipeline, "--heatmap", out, "--draws", 1]
    result = run("score", clip, *options, "--json", numbers)
    assert result.exit_code == 0, result.output
    assert "±" not in result.output
    assert json.loads(numbers.read_text("utf-8"))["videos"][0]["error"] is None
    picture = read_image(out)
    assert picture.shape[1] > 6 * 96
    taken = run("score", clip, *options)
    assert taken.exit_code == 2 and "exists already" in taken.output
    assert run("score", clip, *options, "--overwrite", "--fps", 16).exit_code == 0
    assert not np.array_equal(read_image(out), picture)


def test_captions_are_ranked(pipeline: Path, clip: Path, captions: Path, tmp_path: Path) -> None:
    out = tmp_path / "ranking.json"
    more = ["--prompts", captions, "--model", pipeline, "--json", out, "--batch-size", 2]
    result = run("rank", clip, *more)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text("utf-8"))["captions"]
    assert {row["prompt"] for row in rows} == {PROMPT, "a blue circle", "a big background"}
    bits = [row["bits"] for row in rows]
    assert bits == sorted(bits) and rows[0]["behind"] == 0
    assert sum(row["probability"] for row in rows) == pytest.approx(1)
    lines = [line for line in result.output.splitlines() if line.endswith(rows[0]["prompt"])]
    assert lines and result.output.index(rows[0]["prompt"]) < result.output.index(rows[1]["prompt"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no prompt"),
        (b"# nothing\n\n", "holds no prompt"),
        (b"a red circle\n", "holds one caption"),
        (b"a red circle\na red circle\n", "holds one caption"),
        (b"a red circle\nan \xff circle\n", "line 2 is not UTF-8"),
        (b"a\x00b\nc\n", "control characters"),
    ],
)
def test_bad_captions_are_refused(
    pipeline: Path, clip: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    result = run("rank", clip, "--prompts", path, "--model", pipeline)
    assert result.exit_code == 2 and message in result.output, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "cannot be opened"),
        ("concat:a.mp4|b.mp4", "no protocols"),
        ("https://example.org/a.mp4", "only files on this disk"),
        ("{folder}/text.mp4", "text.mp4"),
        ("{folder}/list.mp4", "list.mp4"),
        ("{folder}/sound.mp4", "sound.mp4"),
        ("{folder}/empty.mp4", "is empty"),
        ("{folder}", "not a regular file"),
    ],
)
def test_what_is_no_clip_is_refused(
    pipeline: Path, captions: Path, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile one.mp4\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    make_video(tmp_path / "sound.mp4", disc_clip(0), sound=(0.0, 1.0))
    video, out = name.format(folder=tmp_path), tmp_path / "out.json"
    for result in (
        run("score", video, "--prompt", "red", "--model", pipeline, "--json", out),
        run("rank", video, "--prompts", captions, "--model", pipeline, "--json", out),
    ):
        assert result.exit_code == 2 and message in result.output, result.output
        assert "Traceback" not in result.output and not out.exists()


def test_what_cannot_be_asked_for(pipeline: Path, clip: Path, tmp_path: Path) -> None:
    options = ["--prompt", PROMPT, "--model", pipeline]
    two = run("score", clip, clip, *options, "--heatmap", tmp_path / "a.png")
    assert two.exit_code == 2 and "of one video; 2 were given" in two.output
    kind = run("score", clip, *options, "--heatmap", tmp_path / "a.jpg")
    assert kind.exit_code == 2 and "ends in .png" in kind.output
    twice = ["--json", tmp_path / "a.png", "--heatmap", tmp_path / "a.png"]
    assert "written already" in run("score", clip, *options, *twice).output
    place = run("score", clip, *options, "--json", tmp_path / "none" / "a.json")
    assert place.exit_code == 2 and "make it first" in place.output
    size = run("score", clip, *options, "--height", 30)
    assert size.exit_code == 2 and "multiples of 16" in size.output


def test_what_is_read_is_not_written(
    pipeline: Path, clip: Path, captions: Path, tmp_path: Path
) -> None:
    """A clip, or the captions, became JSON."""
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(clip.read_bytes())
    options = ["--model", pipeline, "--overwrite", "--json"]
    scored = run("score", mine, "--prompt", PROMPT, *options, mine)
    ranked = run("rank", clip, "--prompts", captions, *options, captions)
    assert all(it.exit_code == 2 and "is read" in it.output for it in (scored, ranked))
    assert mine.read_bytes() == clip.read_bytes() and PROMPT in captions.read_text("utf-8")


def test_a_damaged_file_leaves_the_scores_before_it(
    pipeline: Path, clip: Path, tmp_path: Path
) -> None:
    cut, out = tmp_path / "cut.mp4", tmp_path / "scores.json"
    whole = make_video(tmp_path / "fast.mp4", disc_clip(30, 64, 96), faststart=True).read_bytes()
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    options = ["--prompt", PROMPT, "--model", pipeline, "--draws", 1, "--json", out]
    result = run("score", clip, cut, *options)
    assert result.exit_code == 2 and "cut.mp4: damaged or cut short" in result.output
    assert [it["path"] for it in json.loads(out.read_text("utf-8"))["videos"]] == [str(clip)]
