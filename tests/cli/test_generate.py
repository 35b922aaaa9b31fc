"""`starflow-v generate` makes what is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from starflow_v import DensityGuidance, JacobiSolver, StarFlowVPipeline
from starflow_v.data.video_io import VideoWriter, read_image, read_video
from tests.cli.commands import PROMPTS, files_in, frames_of, generate


def test_a_prompt_becomes_a_video_and_a_record(pipeline: Path, tmp_path: Path) -> None:
    video = tmp_path / "new" / "out.mp4"
    result = generate("a red circle", "-o", video, "--model", pipeline, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert f"{video}: 9 frames of 48x32 at 8 fps, seed 3" in result.output
    assert read_video(video).frames.shape == (9, 32, 48, 3)
    assert files_in(video.parent) == ["out.json", "out.mp4"]
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    expected = {
        "prompt": "a red circle",
        "negative_prompt": None,
        "seed": 3,
        "height": 32,
        "width": 48,
        "num_frames": 9,
        "frames": 9,
        "frame_rate": 8,
        "guidance_scale": 1.0,
        "solver": "sequential",
        "device": "cpu",
        "dtype": "float32",
        "threads": torch.get_num_threads(),
    }
    assert expected.items() <= record.items()
    assert record["model"]["path"] == str(pipeline)
    assert len(record["model"]["sha256"]["flow/diffusion_pytorch_model.safetensors"]) == 64
    assert record["versions"]["torch"] == torch.__version__


def test_options_reach_the_pipeline(pipeline: Path, tmp_path: Path) -> None:
    sizes = ["--height", 16, "--width", 32, "--frames", 5, "--fps", 12]
    solver = ["--solver", "jacobi", "--block-size", 2, "--tolerance", 0.01]
    words = ["a red circle", "--negative-prompt", "blue", "--guidance", 2]
    out = tmp_path / "frames"
    result = generate(*words, *sizes, *solver, "-o", out, "--model", pipeline, "--seed", 9)
    assert result.exit_code == 0, result.output
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    expected = pipe(
        "a red circle",
        negative_prompt="blue",
        height=16,
        width=32,
        num_frames=5,
        frame_rate=12,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(9),
        solver=JacobiSolver(block_size=2, tolerance=0.01),
    ).frames[0]
    assert np.abs(frames_of(out) / 255 - expected).max() < 0.51 / 255
    record = json.loads((tmp_path / "frames.json").read_text("utf-8"))
    assert (record["solver"], record["block_size"], record["tolerance"]) == ("jacobi", 2, 0.01)
    assert (record["negative_prompt"], record["frame_rate"]) == ("blue", 12)


def test_guidance_by_attention_temperature(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "still"
    told = ["red", "--frames", 1, "--guidance", 2, "--model", pipeline, "--seed", 9]
    result = generate(*told, "--attention-temperature", 3, "-o", out)
    assert result.exit_code == 0, result.output
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    expected = pipe(
        "red",
        num_frames=1,
        guidance=DensityGuidance(2.0, 3.0),
        generator=torch.Generator().manual_seed(9),
    ).frames[0]
    assert np.abs(frames_of(out) / 255 - expected).max() < 0.51 / 255
    assert json.loads(out.with_suffix(".json").read_text("utf-8"))["attention_temperature"] == 3
    again = generate("--from", out.with_suffix(".json"), "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    np.testing.assert_array_equal(frames_of(tmp_path / "again"), frames_of(out))
    wrong = generate(*told, "--attention-temperature", 0, "-o", tmp_path / "wrong")
    assert wrong.exit_code != 0 and "attention temperature 0.0" in wrong.output


def test_the_temperature_is_recorded_and_made_again(pipeline: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "cool", ["red", "--frames", 1, "--model", pipeline, "--seed", 9]
    assert generate(*told, "--temperature", 0.5, "-o", out).exit_code == 0
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    seed = torch.Generator().manual_seed(9)
    expected = pipe("red", num_frames=1, temperature=0.5, generator=seed).frames[0]
    assert np.abs(frames_of(out) / 255 - expected).max() < 0.51 / 255
    assert json.loads(out.with_suffix(".json").read_text("utf-8"))["temperature"] == 0.5
    again = generate("--from", out.with_suffix(".json"), "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    np.testing.assert_array_equal(frames_of(tmp_path / "again"), frames_of(out))
    wrong = generate(*told, "--temperature", -1, "-o", tmp_path / "wrong")
    assert wrong.exit_code == 2 and "--temperature" in wrong.output


def test_an_aspect_ratio_keeps_the_area(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "tall.mp4"
    result = generate("red", "--aspect-ratio", "1:2", "-o", out, "--model", pipeline, "--frames", 1)
    assert result.exit_code == 0, result.output
    assert read_video(out).frames.shape == (1, 48, 32, 3)


def test_a_frame_count_is_rounded_with_a_warning(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = generate("red", "-o", out, "--model", pipeline, "--frames", 6)
    assert "warning: num_frames=6 is not 1 + 4k: 5 frames" in result.output
    assert read_video(out).frames.shape[0] == 5
    assert json.loads(out.with_suffix(".json").read_text("utf-8"))["num_frames"] == 5


def test_words_that_the_model_never_saw_are_warned_of(pipeline: Path, tmp_path: Path) -> None:
    result = generate("a red cow", "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert "warning: this model has never seen: cow." in result.output
    assert "background" in result.output


def test_without_a_seed_each_video_is_another(pipeline: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert generate("red", "-o", tmp_path / name, "--model", pipeline).exit_code == 0
    assert not np.array_equal(frames_of(tmp_path / "a"), frames_of(tmp_path / "b"))


def test_without_a_name_the_prompt_names_the_video(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = generate("../A red: circle", "--model", pipeline, "--seed", 4)
    assert result.exit_code == 0, result.output
    assert files_in(tmp_path) == ["4-a-red-circle.json", "4-a-red-circle.mp4"]


def test_a_file_of_prompts_fills_a_folder(pipeline: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text(PROMPTS, "utf-8")
    more = ["--model", pipeline, "--seed", 5, "--batch-size", 2]
    result = generate("--prompts", prompts, "-o", out, *more)
    assert result.exit_code == 0, result.output
    assert [path.name for path in sorted(out.glob("*.mp4"))] == [
        "0000-5-a-red-circle.mp4",
        "0001-6-a-blue-circle-moves-right.mp4",
        "0002-7-a-big-red-circle.mp4",
    ]
    record = json.loads((out / "0001-6-a-blue-circle-moves-right.json").read_text("utf-8"))
    assert (record["prompt"], record["seed"]) == ("a blue circle moves right", 6)
    assert [clip["seed"] for clip in record["batch"]] == [5, 6]


def test_a_video_does_not_depend_on_its_batch(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[Path, list[np.ndarray]] = {}
    write = VideoWriter.write

    def spy(self: VideoWriter, frames: np.ndarray) -> None:
        written.setdefault(self.path.relative_to(tmp_path), []).append(frames.astype(int))
        write(self, frames)

    monkeypatch.setattr(VideoWriter, "write", spy)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(PROMPTS, "utf-8")
    for size in (1, 3):
        more = ["--model", pipeline, "--seed", 1, "--batch-size", size]
        assert generate("--prompts", prompts, "-o", tmp_path / str(size), *more).exit_code == 0
    assert len(written) == 6
    for video in (tmp_path / "1").glob("*.mp4"):
        alone, together = (np.concatenate(written[Path(size, video.name)]) for size in "13")
        assert np.abs(alone - together).max() <= 1


def test_a_still_is_a_png(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert generate("red", "-o", out, "--frames", 1, "--model", pipeline).exit_code == 0
    assert read_image(out).shape == (32, 48, 3)


def test_a_size_far_beyond_the_models_is_warned_of(pipeline: Path, tmp_path: Path) -> None:
    size = ["--height", 32, "--width", 48 * 17 * 9, "--frames", 1]
    result = generate("red", "-o", tmp_path / "out.mp4", *size, "--model", pipeline)
    assert result.exit_code == 0, result.output
    assert "1 frames of 7344x32 hold 17 times the pixels" in result.output
