"""Sets of clips for VBench: its names, nothing else in its folder, and a run that goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from starflow_v.cli.main import app
from starflow_v.data.video_io import read_image, read_video
from tests.cli.commands import files_in

FIRST, SECOND = "A red circle.", "a blue circle, moves right"


def sample(model: Path, prompts: Path, out: Path, *more: object) -> Result:
    arguments = ["--vbench", prompts, "-o", out, "--model", model, *more]
    return CliRunner().invoke(app, ["sample", *map(str, arguments)])


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text(f"{FIRST}\n{SECOND}\n{FIRST}\n", "utf-8")
    return path


def test_a_set_has_vbenchs_names_and_nothing_else(
    pipeline: Path, prompts: Path, tmp_path: Path
) -> None:
    out, png = tmp_path / "clips", tmp_path / "png"
    options = ["--batch-size", 4, "--frames-dir", png, "--seed", 7]
    result = sample(pipeline, prompts, out, *options)
    assert result.exit_code == 0, result.output
    names = [f"{prompt}-{index}.mp4" for prompt in (FIRST, SECOND) for index in range(5)]
    assert files_in(out) == sorted(names)
    record = json.loads((tmp_path / "clips-records" / f"{SECOND}-1.json").read_text("utf-8"))
    assert (record["prompt"], record["seed"]) == (SECOND, 7 + 6)
    made = read_video(out / names[6]).frames
    pictures = sorted((png / "00006").iterdir())
    assert np.array_equal(np.stack([read_image(path) for path in pictures]), made)
    assert len(list(png.iterdir())) == 10
    other = sample(pipeline, prompts, tmp_path / "others", "--seed", 8)
    assert other.exit_code == 0, other.output
    again = sample(pipeline, prompts, tmp_path / "others", "--seed", 8, "--frames-dir", png)
    assert again.exit_code == 0 and "10 clips are there already" in again.output
    made = read_video(tmp_path / "others" / names[6]).frames
    pictures = sorted((png / "00006").iterdir())
    assert np.array_equal(np.stack([read_image(path) for path in pictures]), made)
    taken = sample(pipeline, prompts, out, *options, "--frames-dir", prompts)
    assert taken.exit_code == 2 and "is a file; expected a folder" in taken.output


def test_a_run_goes_on_where_it_stopped(pipeline: Path, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips"
    options = ["--seeds", 2, "--frames", 5]
    assert sample(pipeline, prompts, out, *options).exit_code == 0
    kept, lost, cut = (out / f"{name}.mp4" for name in (f"{FIRST}-0", f"{FIRST}-1", f"{SECOND}-0"))
    before = {path: path.read_bytes() for path in (kept, lost, cut)}
    time = kept.stat().st_mtime_ns
    lost.unlink()
    record = tmp_path / "clips-records" / f"{SECOND}-0.json"
    record.write_text(record.read_text("utf-8").replace('"frames": 5,', '"frames": 3,'), "utf-8")
    again = sample(pipeline, prompts, out, *options)
    assert again.exit_code == 0 and "2 clips are there already" in again.output
    assert again.output.count("5 frames of 48x32") == 2
    assert kept.stat().st_mtime_ns == time
    assert {path: path.read_bytes() for path in before} == before
    assert json.loads(record.read_text("utf-8"))["frames"] == 5
    other = sample(pipeline, prompts, out, *options, "--guidance", 0.5)
    assert other.exit_code == 2 and "another guidance_scale" in other.output
    other = sample(pipeline, prompts, out, *options, "--seed", 1)
    assert other.exit_code == 2 and "another seed" in other.output


def test_vbenchs_own_list_is_read(pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "VBench_full_info.json"
    entries = [{"prompt_en": FIRST, "dimension": [name]} for name in ("color", "scene")]
    path.write_text(json.dumps(entries), "utf-8")
    out = tmp_path / "clips"
    result = sample(pipeline, path, out, "--seeds", 1, "--frames", 1)
    assert result.exit_code == 0, result.output
    assert files_in(out) == [f"{FIRST}-0.mp4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "holds no prompt"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.txt", b"../../etc/passwd\n", "holds '/'"),
        ("a.txt", b".hidden\n", "begins with a dot"),
        ("a.txt", b"a " * 150 + b"\n", "at most 231"),
        ("a.json", b"[]", "holds no prompt"),
        ("a.json", b'{"a": 1}', "not a list of prompts of VBench"),
        ("a.json", b"[\xff]", "not a list of prompts of VBench"),
        ("a.json", b'[{"prompt_en": "a\\u0000b"}]', "cannot be a name"),
        ("none.json", None, "cannot be read"),
    ],
)
def test_bad_prompts_are_refused_and_leave_nothing(
    pipeline: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = sample(pipeline, tmp_path / name, tmp_path / "clips")
    assert result.exit_code == 2 and message in result.output, result.output
    assert not (tmp_path / "clips").exists() and not (tmp_path / "clips-records").exists()


@pytest.mark.parametrize("option", [["--then", "5: blue"], ["--prompts", "a.txt"], ["--from", "a"]])
def test_what_it_has_no_use_for_is_refused(
    pipeline: Path, prompts: Path, tmp_path: Path, option: list[str]
) -> None:
    """--then was passed over in silence."""
    result = sample(pipeline, prompts, tmp_path / "out", *option)
    assert result.exit_code == 2 and "without --prompts, --then and --from" in result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_must_be_named(pipeline: Path, prompts: Path) -> None:
    result = CliRunner().invoke(app, ["sample", "--vbench", str(prompts)])
    assert result.exit_code == 2 and "-o FOLDER" in result.output
