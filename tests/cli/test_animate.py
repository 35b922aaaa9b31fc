import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVImageToVideoPipeline, StarFlowVPipeline
from starflow_v.cli.main import app
from starflow_v.data.video_io import read_image, read_video
from tests.cli.commands import files_in, frames_of
from tests.data.video_io.clips import disc_clip


def animate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["animate", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as if it had learned to end with a given frame and to go on from a clip."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(pipeline, folder)
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    index["tasks"] = ["video", "image", "extend", "last"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "still.png"
    Image.fromarray(disc_clip(1, 64, 96)[0]).save(path)
    return path


def test_an_image_becomes_a_video_and_a_record(model: Path, image: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    result = animate(image, "a red circle moves right", "-o", video, "--model", model, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert f"{video}: 9 frames of 48x32 at 8 fps, seed 3" in result.output
    assert read_video(video).frames.shape == (9, 32, 48, 3)
    assert files_in(tmp_path) == ["out.json", "out.mp4"]
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    assert (record["task"], record["frames"], record["total_frames"]) == ("animate", 9, 9)
    assert record["given"]["image"]["path"] == str(image)
    assert len(record["given"]["image"]["sha256"]) == 64


def test_it_is_the_pipelines_video(model: Path, image: Path, tmp_path: Path) -> None:
    more = ["--frames", 5, "--last", image, "--seed", 7, "--guidance", 2, "--fps", 12]
    result = animate(image, "a red circle", "-o", tmp_path / "frames", "--model", model, *more)
    assert result.exit_code == 0, result.output
    pipe = StarFlowVImageToVideoPipeline.from_pretrained(model)
    expected = pipe(
        image,
        "a red circle",
        num_frames=5,
        last_image=image,
        guidance_scale=2.0,
        frame_rate=12,
        generator=torch.Generator().manual_seed(7),
    ).frames[0]
    assert np.abs(frames_of(tmp_path / "frames") / 255 - expected).max() < 0.51 / 255


def test_the_last_image_is_compared_with_the_last_frame(
    model: Path, image: Path, tmp_path: Path
) -> None:
    """The first one once stood beside all frames."""
    last = tmp_path / "last.png"
    Image.new("RGB", (48, 32), "white").save(last)
    more = ["--last", last, "--frames", 5, "--compare", "--model", model]
    assert animate(image, "red", "-o", tmp_path / "out.mp4", *more).exit_code == 0
    given = read_video(tmp_path / "out.compare.mp4").frames[:, :, :48]
    assert [frame.mean() > 250 for frame in given] == [False] * 4 + [True]


def test_a_record_makes_its_video_again_bit_for_bit(
    model: Path, image: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\na blue circle\n", "utf-8")
    out = tmp_path / "out"
    more = ["--prompts", prompts, "--batch-size", 2, "--model", model, "--last", image]
    assert animate(image, *more, "-o", out).exit_code == 0
    videos = sorted(out.glob("*.mp4"))
    assert len(videos) == 2
    for video in videos:
        again = tmp_path / "again" / video.name
        result = animate("--from", video.with_suffix(".json"), "-o", again, "--compare")
        assert result.exit_code == 0, result.output
        assert again.read_bytes() == video.read_bytes()


def test_a_record_of_a_changed_image_or_of_another_command_is_refused(
    model: Path, image: Path, tmp_path: Path
) -> None:
    still, video = tmp_path / "still.png", tmp_path / "out.mp4"
    shutil.copy(image, still)
    assert animate(still, "red", "-o", video, "--model", model).exit_code == 0
    record, again = video.with_suffix(".json"), tmp_path / "again.mp4"
    result = CliRunner().invoke(app, ["generate", "--from", str(record), "-o", str(again)])
    assert result.exit_code == 2 and "starflow-v animate --from" in result.output
    Image.fromarray(disc_clip(1, 32, 48)[0] // 2).save(still)
    result = animate("--from", record, "-o", again)
    assert result.exit_code == 2 and "still.png has changed" in result.output
    still.unlink()
    assert "cannot be opened" in animate("--from", record, "-o", again).output


def test_a_comparison_shows_both(model: Path, image: Path, tmp_path: Path) -> None:
    result = animate(image, "red", "-o", tmp_path / "out.mp4", "--model", model, "--compare")
    assert result.exit_code == 0, result.output
    expected = ["out.compare.mp4", "out.compare.png", "out.json", "out.mp4"]
    assert files_in(tmp_path) == expected
    both = read_video(tmp_path / "out.compare.mp4").frames
    assert both.shape == (9, 32, 2 * 48 + 4, 3)
    assert np.abs(both[0, :, :48].astype(int) - both[8, :, :48]).mean() < 2  # the still
    made = read_video(tmp_path / "out.mp4").frames
    assert np.abs(both[:, :, 52:].astype(int) - made).mean() < 8
    height, width, _ = read_image(tmp_path / "out.compare.png").shape
    assert height > 2 * 32 and width > 6 * 48
    again = animate(image, "red", "-o", tmp_path / "new.mp4", "--model", model, "--compare")
    assert again.exit_code == 0
    (tmp_path / "new.mp4").unlink()
    (tmp_path / "new.json").unlink()
    result = animate(image, "red", "-o", tmp_path / "new.mp4", "--model", model, "--compare")
    assert result.exit_code == 2 and "new.compare.mp4 exists already" in result.output


def test_the_size_follows_the_image(model: Path, tmp_path: Path) -> None:
    tall = tmp_path / "tall.png"
    Image.fromarray(disc_clip(1, 90, 51)[0]).save(tall)
    out = tmp_path / "out"
    assert animate(tall, "red", "-o", out, "--model", model, "--frames", 1).exit_code == 0
    height, width = frames_of(out).shape[1:3]
    assert (height, width) == StarFlowVPipeline.from_pretrained(model).nearest_size(90, 51)
    assert height > width
    wide = tmp_path / "wide"
    more = ["--height", 16, "--width", 64, "--frames", 1]
    assert animate(tall, "red", "-o", wide, "--model", model, *more).exit_code == 0
    assert frames_of(wide).shape == (1, 16, 64, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected ANIMATE's IMAGE"),
        (["{image}"], "expected one of: a PROMPT"),
        (["none.png", "red"], "none.png: cannot be opened"),
        (["https://example.org/a.png", "red"], "only files on this disk"),
        (["{text}", "red"], "not an image"),
        (["{empty}", "red"], "the file is empty"),
        (["{cut}", "red"], "damaged or cut short"),
        (["/dev/zero", "red"], "is not a regular file"),
        (["{image}", "red", "--last", "{text}"], "not an image"),
        (["{image}", "red", "--last", "{image}", "--frames", "33"], "2 to 9 frames"),
        (["{image}", "--from", "none.json"], "no option beside it"),
        (["--last", "{image}", "--from", "none.json"], "no option beside it"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    model: Path, image: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    files = {name: tmp_path / f"{name}.png" for name in ("text", "empty", "cut")}
    files["text"].write_text("hello")
    files["empty"].touch()
    files["cut"].write_bytes(image.read_bytes()[:-200])
    filled = [argument.format(image=image, **files) for argument in arguments]
    result = animate(*filled, "-o", tmp_path / "new" / "out.mp4", "--model", model)
    assert result.exit_code == 2, result.output
    assert message in result.output and "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


def test_bad_files_are_refused_before_the_model_is_loaded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StarFlowVImageToVideoPipeline, "from_pretrained", None)
    result = animate("none.png", "red", "-o", tmp_path / "out.mp4", "--model", model)
    assert result.exit_code == 2 and "cannot be opened" in result.output


def test_a_last_image_needs_a_model_that_was_trained_for_it(
    pipeline: Path, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    result = animate(image, "red", "--last", image, "-o", out, "--model", pipeline)
    assert result.exit_code == 2 and "it would need last" in result.output
