import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.cli.common import memory
from starflow_v.cli.common.model_folder import read_model_folder
from starflow_v.cli.common.settings import Wishes
from starflow_v.cli.main import app
from starflow_v.data.video_io import probe_video, read_video
from tests.cli.commands import files_in, frames_of
from tests.data.video_io.clips import disc_clip, make_video


def edit(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["edit", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as if it had learned to edit."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(pipeline, folder)
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    index["tasks"] = ["video", "image", "v2v"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a quarter at 16 fps with a tone, twice as large and as fast as the model's."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_video(path, disc_clip(20, 64, 96), fps=16, sound=(0.0, 1.25))


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The right half, of the clip's size."""
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    levels = np.zeros((64, 96), np.uint8)
    levels[:, 48:] = 255
    Image.fromarray(levels).save(path)
    return path


def test_a_clip_is_edited_and_keeps_its_sound(model: Path, clip: Path, tmp_path: Path) -> None:
    video, again = tmp_path / "out.mp4", tmp_path / "again.mp4"
    result = edit(clip, "a red circle", "-o", video, "--model", model, "--seed", 3, "--compare")
    assert result.exit_code == 0, result.output
    assert f"{video}: 10 frames of 48x32 at 8 fps, seed 3" in result.output
    made = read_video(video)
    assert made.frames.shape == (10, 32, 48, 3) and made.has_sound
    with av.open(str(video)) as container:
        seconds = container.streams.audio[0].duration * container.streams.audio[0].time_base
        assert 1.15 < seconds < 1.45
    both = read_video(tmp_path / "out.compare.mp4").frames[:, :, :48].astype(int)
    given = read_video(clip, fps=8, size=(32, 48)).frames
    assert np.abs(both - given).mean() < 6
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    assert (record["task"], record["num_frames"], record["strength"]) == ("edit", 10, None)
    assert (record["frames"], record["total_frames"]) == (10, 10)
    assert record["given"]["video"]["path"] == str(clip)
    result = edit("--from", video.with_suffix(".json"), "-o", again)
    assert result.exit_code == 0, result.output
    assert again.read_bytes() == video.read_bytes()


def test_a_comparison_shows_what_a_mask_hides(
    model: Path, clip: Path, mask: Path, tmp_path: Path
) -> None:
    more = ["--mask", mask, "--frames", 5, "--model", model, "--compare"]
    result = edit(clip, "a red circle", "-o", tmp_path / "out.mp4", *more)
    assert result.exit_code == 0, result.output
    given = read_video(tmp_path / "out.compare.mp4").frames[:, :, :48].astype(int)
    plain = read_video(clip, fps=8, size=(32, 48), num_frames=5).frames
    assert np.abs(given[:, :, 26:] - 128).mean() < 4
    assert np.abs(given[:, :, :22] - plain[:, :, :22]).mean() < 6


def test_it_is_the_pipelines_video(model: Path, clip: Path, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    more = ["--frames", 9, "--seed", 5, "--height", 16, "--width", 32, "--fps", 16, "--mask", mask]
    result = edit(clip, "a red circle", "-o", out, "--model", model, *more)
    assert result.exit_code == 0, result.output
    pipe = StarFlowVVideoToVideoPipeline.from_pretrained(model)
    expected = pipe(
        clip,
        "a red circle",
        num_frames=9,
        height=16,
        width=32,
        frame_rate=16,
        mask=mask,
        generator=torch.Generator().manual_seed(5),
    ).frames[0]
    assert expected.shape[0] == 9
    assert np.abs(frames_of(out) / 255 - expected).max() < 0.51 / 255
    left = read_video(clip, fps=16, size=(16, 32), num_frames=9).frames[:, :, :15]
    assert (frames_of(out)[:, :, :15] == left).all()
    record = json.loads(Path(f"{out}.json").read_text("utf-8"))
    assert record["given"]["mask"]["path"] == str(mask)


def test_strength_is_recorded_and_made_again(model: Path, clip: Path, tmp_path: Path) -> None:
    video, again = tmp_path / "out.webp", tmp_path / "again.webp"
    more = ["--model", model, "--strength", 0.4, "--frames", 5]
    assert edit(clip, "a red circle", "-o", video, *more).exit_code == 0
    assert json.loads(video.with_suffix(".json").read_text("utf-8"))["strength"] == 0.4
    assert edit("--from", video.with_suffix(".json"), "-o", again).exit_code == 0
    assert again.read_bytes() == video.read_bytes()
    refused = edit("--from", video.with_suffix(".json"), "--strength", 0.4)
    assert refused.exit_code == 2 and "no option beside it" in refused.output


def test_a_mask_has_the_guidance_of_videos(
    model: Path, clip: Path, mask: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    index = folder / "model_index.json"
    own = {"guidance_scale": 2.0, "edit_guidance_scale": 1.0, "edit_fidelity": 0.9}
    index.write_text(json.dumps(json.loads(index.read_text("utf-8")) | own), "utf-8")
    for more, usual in (([], (1.0, 0.9)), (["--mask", mask], (2.0, 0.0))):
        video = tmp_path / f"{len(more)}.webp"
        more = [*more, "--model", folder, "--frames", 5]
        done = edit(clip, "a red circle", "-o", video, *more)
        assert done.exit_code == 0, done.output
        record = json.loads(video.with_suffix(".json").read_text("utf-8"))
        assert (record["guidance_scale"], record["fidelity"]) == usual


def test_a_file_that_holds_no_sound_is_told_of(model: Path, tmp_path: Path) -> None:
    loud = make_video(tmp_path / "loud.mp4", disc_clip(10, 32, 48), sound=(0.0, 1.0))
    more = ["--model", model, "--frames", 5]
    for name, told in (("a.webp", True), ("b.mp4", False)):
        done = edit(loud, "a red circle", "-o", tmp_path / name, *more)
        assert done.exit_code == 0, done.output
        assert ("cannot hold the sound" in done.output) == told


def test_fidelity_is_recorded_and_made_again(model: Path, clip: Path, tmp_path: Path) -> None:
    made = {}
    for share in (0, 0.9):
        video = made[share] = tmp_path / f"{share}.webp"
        more = ["--model", model, "--fidelity", share, "--frames", 5]
        assert edit(clip, "a red circle", "-o", video, *more).exit_code == 0
        assert json.loads(video.with_suffix(".json").read_text("utf-8"))["fidelity"] == share
    assert made[0].read_bytes() != made[0.9].read_bytes()
    again = tmp_path / "again.webp"
    assert edit("--from", made[0.9].with_suffix(".json"), "-o", again).exit_code == 0
    assert again.read_bytes() == made[0.9].read_bytes()


def test_candidates_are_recorded_and_made_again(
    model: Path, clip: Path, mask: Path, tmp_path: Path
) -> None:
    made = {}
    for count in (None, 1):
        video = made[count] = tmp_path / f"{count}.webp"
        more = [] if count is None else ["--candidates", count]
        more += ["--model", model, "--mask", mask, "--frames", 5]
        assert edit(clip, "a red circle", "-o", video, *more).exit_code == 0
        record = json.loads(video.with_suffix(".json").read_text("utf-8"))
        assert record["candidates"] == (count or 4)
    assert made[None].read_bytes() != made[1].read_bytes()
    again = tmp_path / "again.webp"
    assert edit("--from", made[1].with_suffix(".json"), "-o", again).exit_code == 0
    assert again.read_bytes() == made[1].read_bytes()


def test_candidates_take_memory_and_fewer_are_offered(
    model: Path, clip: Path, mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LARGE", 0)
    folder, cpu = read_model_folder(model), torch.device("cpu")
    one, four = (memory.memory_need(folder, Wishes(), cpu, batch=it).device for it in (1, 4))
    monkeypatch.setattr("starflow_v.planner.free_memory", lambda _: (one + four) / 2)
    more = ["--model", model, "--mask", mask]
    refused = edit(clip, "a red circle", "-o", tmp_path / "a.webp", *more)
    assert refused.exit_code == 2 and "--candidates 1" in " ".join(refused.output.split())
    more += ["--frames", 5, "--candidates", 1]
    assert edit(clip, "a red circle", "-o", tmp_path / "a.webp", *more).exit_code == 0


def test_inversion_needs_no_training(pipeline: Path, clip: Path, tmp_path: Path) -> None:
    more = ["--model", pipeline, "--frames", 5]
    result = edit(clip, "red", "-o", tmp_path / "out.mp4", *more)
    assert result.exit_code == 2 and "it would need v2v" in result.output
    assert files_in(tmp_path) == []
    assert edit(clip, "red", "-o", tmp_path / "out.mp4", "--strength", 0.2, *more).exit_code == 0
    assert probe_video(tmp_path / "out.mp4").has_sound


@pytest.mark.parametrize(
    ("video", "options", "message"),
    [
        ("none.mp4", [], "cannot be opened"),
        ("concat:a.mp4|b.mp4", [], "no protocols"),
        ("subfile,,start,0,end,9,,:a.mp4", [], "a.mp4"),
        ("https://example.org/a.mp4", [], "only files on this disk"),
        ("{folder}/text.mp4", [], "text.mp4"),
        ("{folder}/list.mp4", [], "list.mp4"),
        ("{folder}/sound.mp4", [], "sound.mp4"),
        ("{folder}/one.mp4", [], "at least 2, or animate it"),
        ("{clip}", ["--strength", 2], "--strength"),
        ("{clip}", ["--fidelity", 1.5], "--fidelity"),
        ("{clip}", ["--fidelity", 0.5, "--strength", 0.5], "--fidelity and --strength"),
        ("{clip}", ["--temperature", 0.5, "--strength", 0.5], "--temperature 0.5 and --strength"),
        (
            "{clip}",
            ["--fidelity", 0.5, "--mask", "{folder}/small.png"],
            "--fidelity 0.5 and --mask",
        ),
        ("{clip}", ["--candidates", 2], "--candidates 2 is given and no --mask"),
        ("{clip}", ["--then", "5: blue"], "one prompt from its first frame to its last"),
        ("{clip}", ["--strength", "nan"], "strength"),
        ("{clip}", ["--strength", 0.5, "--mask", "{folder}/small.png"], "--mask and --strength"),
        ("{clip}", ["--mask", "{folder}/small.png"], "8x8 pixels and the clip 96x64"),
        ("{clip}", ["--mask", "{folder}/none.png"], "cannot be opened"),
        ("{clip}", ["--mask", "{folder}/text.mp4"], "text.mp4"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    model: Path, clip: Path, tmp_path: Path, video: str, options: list, message: str
) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile one.mp4\n")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "small.png")
    make_video(tmp_path / "sound.mp4", disc_clip(0), sound=(0.0, 1.0))
    make_video(tmp_path / "one.mp4", disc_clip(1, 32, 48), fps=8)
    words = [str(word).format(folder=tmp_path, clip=clip) for word in (video, *options)]
    result = edit(words[0], "red", *words[1:], "-o", tmp_path / "new" / "o.mp4", "--model", model)
    assert result.exit_code == 2, result.output
    assert message in result.output and "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("none.png", "none.png: cannot be opened"),
        ("text.png", "the mask, which is no still picture"),
        ("small.png", "the mask has 8x8 pixels and the clip 96x64"),
        ("black.png", "the mask is black all over"),
        ("small.mp4", "the mask has 48x32 pixels and the clip 96x64"),
    ],
)
def test_bad_masks_are_refused_before_the_model_is_loaded(
    model: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mask: str,
    message: str,
) -> None:
    monkeypatch.setattr(StarFlowVVideoToVideoPipeline, "from_pretrained", None)
    (tmp_path / "text.png").write_text("hello")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "small.png")
    Image.new("L", (96, 64)).save(tmp_path / "black.png")
    make_video(tmp_path / "small.mp4", disc_clip(20, 32, 48), fps=16)
    result = edit(
        clip, "red", "--mask", tmp_path / mask, "-o", tmp_path / "o.mp4", "--model", model
    )
    assert result.exit_code == 2 and message in result.output, result.output
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("clip.mp4", "clip.mp4"),
        ("clip.compare.mp4", "clip.mp4"),
        ("frames/clip.mp4", "frames"),
        ("clip.json", "clip.mp4"),
    ],
)
def test_what_is_edited_is_not_written_over(
    model: Path, clip: Path, tmp_path: Path, given: str, output: str
) -> None:
    """With --overwrite it was; without, the advice was to add that."""
    source = tmp_path / given
    source.parent.mkdir(exist_ok=True)
    shutil.copy(clip, source)
    (source.parent / "frame_00000.png").touch()  # such a folder is replaced, not filled
    options = ["-o", tmp_path / output, "--compare", "--model", model]
    for result in (edit(source, "red", *options), edit(source, "red", *options, "--overwrite")):
        assert result.exit_code == 2, result.output
        assert "would replace a file that the video is made from" in result.output
    assert source.read_bytes() == clip.read_bytes()


def test_a_long_clip_is_warned_of(model: Path, clip: Path, tmp_path: Path) -> None:
    """How much it is was reckoned with the model's own number of frames."""
    result = edit(clip, "red", "--fps", 9000, "-o", tmp_path / "o.mp4", "--model", model)
    assert result.exit_code == 2 and "11250 frames of 48x32 hold 1250 times" in result.output


def test_a_still_is_no_clip(model: Path, tmp_path: Path) -> None:
    """A GIF of one picture was a clip of two frames."""
    Image.new("RGB", (48, 32)).save(tmp_path / "still.gif")
    result = edit(tmp_path / "still.gif", "red", "-o", tmp_path / "o.mp4", "--model", model)
    assert result.exit_code == 2 and "still.gif is a still picture" in result.output


def test_an_edit_wants_a_clip() -> None:
    result = edit()
    assert result.exit_code == 2 and "expected EDIT's VIDEO" in result.output


def test_a_source_prompt_is_recorded_and_made_again(
    model: Path, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    index = folder / "model_index.json"
    patterns = {"patterns": ["a {color} circle"], "words": {"color": ["red", "blue"]}}
    told = json.loads(index.read_text("utf-8")) | {"caption_patterns": patterns}
    index.write_text(json.dumps(told), "utf-8")
    more = ["--model", folder, "--frames", 5, "--source-prompt", "a blue circle"]
    video, again = tmp_path / "out.webp", tmp_path / "again.webp"
    done = edit(clip, "a red circle", "-o", video, *more)
    assert done.exit_code == 0, done.output
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    assert record["source_prompt"] == "a blue circle"
    assert edit("--from", video.with_suffix(".json"), "-o", again).exit_code == 0
    assert again.read_bytes() == video.read_bytes()
    refused = edit(clip, "a red circle", "-o", tmp_path / "no.webp", *more, "--strength", 0.5)
    assert refused.exit_code == 2 and "has no instruction" in refused.output
