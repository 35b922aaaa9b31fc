"""What cannot be is refused early, in words, and leaves nothing behind."""

import errno
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from starflow_v import StarFlowVPipeline
from tests.cli.commands import PROMPTS, files_in, generate


def test_nothing_is_overwritten_unless_told(pipeline: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    video.with_suffix(".json").write_text("mine")
    result = generate("red", "-o", video, "--model", pipeline)
    assert result.exit_code == 2
    assert "out.json exists already" in result.output and "--overwrite" in result.output
    assert video.with_suffix(".json").read_text() == "mine" and not video.exists()
    assert generate("red", "-o", video, "--model", pipeline, "--overwrite").exit_code == 0
    assert json.loads(video.with_suffix(".json").read_text("utf-8"))["prompt"] == "red"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["  "], "the prompt is empty"),
        ([""], "the prompt is empty"),
        ([], "expected one of: a PROMPT, --prompts FILE, or --from RECORD"),
        (["red", "--prompts", "x.txt"], "expected one of"),
        (["--prompts", "x.txt"], "x.txt is not a file"),
        (["red", "--height", "33"], "multiples of 16, got 33x48; try 32x48"),
        (["red", "--frames", "0"], "--frames"),
        (["red \udcff"], "expected UTF-8"),
        (["red", "--batch-size", "0"], "--batch-size"),
        (["red", "--seed", "-1"], "--seed"),
        (["red", "--solver", "magic"], "--solver"),
        (["red", "--tolerance", "0.1"], "--solver jacobi"),
        (["red", "--aspect-ratio", "wide"], "WIDTH:HEIGHT"),
        (["red", "--aspect-ratio", "1:1", "--width", "32"], "--aspect-ratio and a size"),
        (["red", "--device", "abacus"], "--device abacus cannot be used"),
        (["--from", "none.json"], "cannot be read"),
        (["red", "--from", "none.json"], "no option beside it"),
        (["--from", "none.json", "--fps", "3"], "no option beside it"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    pipeline: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = generate(*arguments, "-o", tmp_path / "new" / "out.mp4", "--model", pipeline)
    assert result.exit_code == 2
    assert message in result.output and "Traceback" not in result.output
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("output", "arguments", "message"),
    [
        ("out.avi", [], ".mp4, .gif, .webp"),
        ("out.png", [], "holds one frame, and the video has 9"),
        ("out.png", ["--frames", "5"], "holds one frame, and the video has 5"),
        ("prompts.txt/out.mp4", [], "prompts.txt (Not a directory); choose another -o"),
        ("out.mp4", ["--aspect-ratio", "wide"], "WIDTH:HEIGHT"),
        ("out.mp4", ["--height", "100000", "--width", "100000"], "times the pixels"),
        ("out.mp4", ["--aspect-ratio", "1000000000:1"], "times the pixels"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(
    pipeline: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(StarFlowVPipeline, "from_pretrained", None)
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    result = generate("red", *arguments, "-o", tmp_path / output, "--model", pipeline)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert files_in(tmp_path) == ["prompts.txt"]


def test_a_folder_that_may_not_be_written_to_is_refused_before_the_model_is_loaded(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(StarFlowVPipeline, "from_pretrained", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    result = generate("red", "-o", tmp_path / "new" / "out.mp4", "--model", pipeline)
    assert result.exit_code == 2
    assert f"no file can be made in {tmp_path} (Permission denied)" in result.output


def test_many_videos_do_not_go_into_a_folder_named_like_one(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    out = tmp_path / "out.mp4"
    result = generate("--prompts", tmp_path / "prompts.txt", "-o", out)
    assert result.exit_code == 2 and f"got -o {out}; expected a folder" in result.output


def test_a_broken_model_is_a_failure_that_names_its_part(pipeline: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(pipeline, model, ignore=shutil.ignore_patterns("vae"))
    result = generate("red", "-o", tmp_path / "out.mp4", "--model", model)
    assert result.exit_code == 1
    assert "lacks its part vae (PatchCodec)" in result.output
