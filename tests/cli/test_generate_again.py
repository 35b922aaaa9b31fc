"""`starflow-v generate --from` makes a video again, bit for bit, or says why it cannot."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.record import hash_files
from tests.cli.commands import PROMPTS, frames_of, generate, stop_after


def test_a_record_makes_its_video_again_bit_for_bit(pipeline: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text(PROMPTS, "utf-8")
    more = ["--model", pipeline, "--batch-size", 3, "--solver", "jacobi", "--block-size", 3]
    assert generate("--prompts", prompts, "-o", out, *more).exit_code == 0
    for video in out.glob("*.mp4"):
        again = tmp_path / "again" / video.name
        result = generate("--from", video.with_suffix(".json"), "-o", again)
        assert result.exit_code == 0, result.output
        assert "warning" not in result.output
        assert again.read_bytes() == video.read_bytes()
        records = [json.loads(p.with_suffix(".json").read_text("utf-8")) for p in (video, again)]
        for key in set(records[0]) - {"command", "seconds"}:
            assert records[0][key] == records[1][key]


def test_a_record_of_other_weights_is_refused_unless_a_model_is_named(
    pipeline: Path, tmp_path: Path
) -> None:
    model, video = tmp_path / "model", tmp_path / "out.mp4"
    shutil.copytree(pipeline, model)
    assert generate("red", "-o", video, "--model", model).exit_code == 0
    weights = model / "flow" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    again = ["--from", video.with_suffix(".json"), "-o", tmp_path / "again.mp4"]
    result = generate(*again)
    assert result.exit_code == 2 and "not that of the record" in result.output
    assert "flow/diffusion_pytorch_model.safetensors differs" in result.output
    result = generate(*again, "--model", model)
    assert result.exit_code == 0 and "warning: the model in" in result.output


def test_a_record_of_other_settings_of_the_model_is_refused(pipeline: Path, tmp_path: Path) -> None:
    """An edited model_index.json once made another video, in silence."""
    model, video = tmp_path / "model", tmp_path / "out.mp4"
    shutil.copytree(pipeline, model)
    assert generate("red", "-o", video, "--model", model).exit_code == 0
    index = json.loads((model / "model_index.json").read_text("utf-8"))
    (model / "model_index.json").write_text(json.dumps({**index, "temporal_scale": 0.1}))
    result = generate("--from", video.with_suffix(".json"), "-o", tmp_path / "again.mp4")
    assert result.exit_code == 2 and "model_index.json differs" in result.output


def test_a_model_is_hashed_once(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, hashed = tmp_path / "out.mp4", list[Path]()
    assert generate("red", "-o", video, "--model", pipeline).exit_code == 0

    def spy(model: ModelFolder) -> dict[str, str]:
        hashed.append(model.path)
        return hash_files(model)

    monkeypatch.setattr("starflow_v.cli.common.making.hash_files", spy)
    again = generate("--from", video.with_suffix(".json"), "-o", tmp_path / "again.mp4")
    assert again.exit_code == 0 and len(hashed) == 1


def test_another_version_is_warned_of(pipeline: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    assert generate("red", "-o", video, "--model", pipeline).exit_code == 0
    path = video.with_suffix(".json")
    record = json.loads(path.read_text("utf-8"))
    record["versions"]["torch"] = "0.4"
    path.write_text(json.dumps(record))
    result = generate("--from", path, "-o", tmp_path / "again.mp4")
    assert result.exit_code == 0
    assert f"warning: torch was 0.4 and is {torch.__version__}" in result.output


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "not json", '{"batch": 3}', '{"batch": [], "batch_index": 0}', "\xff"],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content, encoding="latin-1")
    result = generate("--from", path, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 2 and "is not a record of a generated video" in result.output


def test_an_interrupted_video_is_made_again_as_it_was_cut(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, again = tmp_path / "out.mp4", tmp_path / "again.mp4"
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        assert generate("red", "-o", video, "--model", pipeline).exit_code == 130
    result = generate("--from", video.with_suffix(".json"), "-o", again)
    assert result.exit_code == 0, result.output
    assert "interrupted after 5 of 9 frames" in result.output
    assert again.read_bytes() == video.read_bytes()
    assert json.loads(again.with_suffix(".json").read_text("utf-8"))["frames"] == 5


def test_a_video_that_was_cut_within_four_frames_is_made_again(
    pipeline: Path, tmp_path: Path
) -> None:
    video, again = tmp_path / "frames", tmp_path / "again"
    assert generate("red", "-o", video, "--model", pipeline).exit_code == 0
    path = video.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "frames": 3}))
    assert generate("--from", path, "-o", again).exit_code == 0
    assert np.array_equal(frames_of(again), frames_of(video)[:3])
