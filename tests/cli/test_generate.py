import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from starflow_v import DensityGuidance, JacobiSolver, StarFlowVPipeline
from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.record import hash_files
from starflow_v.cli.main import app
from starflow_v.data.video_io import VideoWriter, read_image, read_video

PROMPTS = "a red circle\n# a comment\n\na blue circle moves right\na big red circle\n"


def generate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def frames_of(folder: Path) -> np.ndarray:
    """(F,H,W,3) of a folder of PNGs."""
    return np.stack([read_image(path) for path in sorted(folder.glob("*.png"))])


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


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


def test_nothing_is_overwritten_unless_told(pipeline: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    video.with_suffix(".json").write_text("mine")
    result = generate("red", "-o", video, "--model", pipeline)
    assert result.exit_code == 2
    assert "out.json exists already" in result.output and "--overwrite" in result.output
    assert video.with_suffix(".json").read_text() == "mine" and not video.exists()
    assert generate("red", "-o", video, "--model", pipeline, "--overwrite").exit_code == 0
    assert json.loads(video.with_suffix(".json").read_text("utf-8"))["prompt"] == "red"


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


def test_a_still_is_a_png(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert generate("red", "-o", out, "--frames", 1, "--model", pipeline).exit_code == 0
    assert read_image(out).shape == (32, 48, 3)


def test_a_size_far_beyond_the_models_is_warned_of(pipeline: Path, tmp_path: Path) -> None:
    size = ["--height", 32, "--width", 48 * 17 * 9, "--frames", 1]
    result = generate("red", "-o", tmp_path / "out.mp4", *size, "--model", pipeline)
    assert result.exit_code == 0, result.output
    assert "1 frames of 7344x32 hold 17 times the pixels" in result.output


def test_a_broken_model_is_a_failure_that_names_its_part(pipeline: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(pipeline, model, ignore=shutil.ignore_patterns("vae"))
    result = generate("red", "-o", tmp_path / "out.mp4", "--model", model)
    assert result.exit_code == 1
    assert "lacks its part vae (PatchCodec)" in result.output


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "not json", '{"batch": 3}', '{"batch": [], "batch_index": 0}', "\xff"],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content, encoding="latin-1")
    result = generate("--from", path, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 2 and "is not a record of a generated video" in result.output


def stop_after(monkeypatch: pytest.MonkeyPatch, chunks: int, error: BaseException) -> None:
    """Makes the pipeline's stream raise `error` after some chunks of frames."""
    stream = StarFlowVPipeline.stream

    def stopped(self: StarFlowVPipeline, *args: Any, **kwargs: Any) -> Iterator[np.ndarray]:
        for index, frames in enumerate(stream(self, *args, **kwargs)):
            if index == chunks:
                raise error
            yield frames

    monkeypatch.setattr(StarFlowVPipeline, "stream", stopped)


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


def test_prompts_along_the_way_reach_the_pipeline_and_the_record(
    pipeline: Path, tmp_path: Path
) -> None:
    video, again = tmp_path / "out", tmp_path / "again"
    prompts = {0: "a red circle", 5: "a blue circle", 13: "a big circle: red"}
    then = ["--then", "13: a big circle: red", "--then", " 5 :a blue circle "]
    more = ["-o", video, "--model", pipeline, "--seed", 7, "--frames", 17]
    result = generate(prompts[0], *then, *more)
    assert result.exit_code == 0, result.output
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    changes = [{"frame": frame, "prompt": prompts[frame]} for frame in (5, 13)]
    assert record["prompt"] == prompts[0]
    assert record["then"] == record["batch"][0]["then"] == changes
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    generator = torch.Generator().manual_seed(7)
    frames = np.concatenate(list(pipe.stream(prompts, num_frames=17, generator=generator)), axis=1)
    assert np.array_equal(frames_of(video), (frames[0].clip(0, 1) * 255).round().astype("uint8"))
    assert generate("--from", video.with_suffix(".json"), "-o", again).exit_code == 0
    assert np.array_equal(frames_of(again), frames_of(video))


def test_prompts_along_the_way_go_for_all_of_a_file(pipeline: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("a red circle\na blue circle\n", "utf-8")
    then = ["--then", "5: a big circle"]
    result = generate("--prompts", prompts, *then, "-o", out, "--model", pipeline)
    assert result.exit_code == 0, result.output
    for path in out.glob("*.json"):
        assert json.loads(path.read_text("utf-8"))["then"] == [
            {"frame": 5, "prompt": "a big circle"}
        ]


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (["a blue circle"], "names no frame; expected FRAME: PROMPT"),
        (["0: a blue circle"], "names no frame"),
        (["-5: a blue circle"], "names no frame"),
        (["5:  "], "the prompt is empty"),
        (["5: blue", "5: red"], "two prompts were given for frame 5"),
        (["9: a blue circle"], "frame 9 of a video with 9 frames"),
    ],
)
def test_a_prompt_that_is_never_told_is_refused(
    pipeline: Path, tmp_path: Path, then: list[str], message: str
) -> None:
    options = [argument for told in then for argument in ("--then", told)]
    result = generate("red", *options, "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert files_in(tmp_path) == []
