"""Data from files: tasks, sizes and conditions, what is skipped, what is refused."""

import re
import warnings
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from starflow_v.config import load_config
from starflow_v.data.buckets import OF_PAIRS, Bucket, Size
from starflow_v.training.data.files import FileFlowData
from starflow_v.training.data.flow_data import load_codec
from starflow_v.training.data.settings import FolderData
from starflow_v.training.data.sources import open_data
from starflow_v.training.flow_settings import FlowSettings
from tests.training.files import make_run, write_metadata

PAIRS = "v2v: 1, v2v_start: 1, v2v_image: 1"
ALL_TASKS = f"data.tasks={{video: 1, image: 1, extend: 1, last: 1, {PAIRS}}}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def open_files(config: Path, *changes: str) -> FileFlowData:
    settings = load_config(FlowSettings, config, changes)
    data = open_data(settings, load_codec(settings))
    assert isinstance(data, FileFlowData)
    return data


def test_every_task_and_size_is_made_of_files(config: Path) -> None:
    sizes = 'data.aspect_ratios=["1:1", "16:9"]'
    data = open_files(config, ALL_TASKS, sizes, "data.held_out=0", "data.clips_per_file=2")
    square, wide = Size(16, 16), Size(16, 24)
    counts = data.latents.sizes()
    assert counts == {
        Bucket("video", square): 4,
        Bucket("video", wide): 4,
        Bucket("image", square): 6,
        Bucket("image", wide): 4,
        Bucket("extend", square): 4,
        Bucket("extend", wide): 4,
        Bucket("last", square): 4,
        Bucket("last", wide): 4,
        Bucket("v2v", wide): 2,
        Bucket("v2v_start", wide): 2,
        Bucket("v2v_image", wide): 2,
    }
    frames = {"video": 2, "image": 1, "extend": 1, "last": 3}
    frames |= {"v2v": 4, "v2v_start": 4, "v2v_image": 2}
    seen: dict[str, set[int]] = {}
    for step in range(60):
        batch = data.latents.batch(step, range(2))
        height, width = batch.bucket.size
        assert batch.latents.shape[-2:] == (height // 8, width // 8)
        seen.setdefault(batch.bucket.task, set()).add(batch.latents.shape[1])
    assert seen == {task: {count} for task, count in frames.items()}
    for task in OF_PAIRS:
        told = data.conditions(Bucket(task, wide))
        assert (told.task, told.fps, told.aspect_ratio) == ("v2v", 8, "4:3")
    assert data.conditions(Bucket("image", square)).fps == 0


def test_files_are_held_out_as_wholes(config: Path) -> None:
    data = open_files(config, "data.held_out=0.3", "data.seed=3")
    captions = [{caption for _, caption in it.captions()} for it in (data.latents, data.held_out)]
    trained, held_out = data.records
    assert held_out and sum(data.held_out.sizes().values()) <= len(held_out)
    assert captions[0] == {it for record in trained for it in record.captions}
    measured = open_files(config, "data.held_out=0", "data.cache=" + str(config.parent / "all"))
    assert measured.held_out is measured.latents


def test_a_broken_file_is_skipped_counted_and_named(config: Path) -> None:
    (config.parent / "files" / "1.mp4").write_bytes(b"nonsense")
    data = open_files(config, "data.held_out=0")
    with pytest.warns(UserWarning, match=r"1 of the files could not be read .*1\.mp4: not a video"):
        counts = data.latents.sizes()
    assert counts[Bucket("video", Size(16, 16))] == 3
    with pytest.warns(UserWarning, match="1 of the files"):  # remembered, not read again
        open_files(config, "data.held_out=0").build()


def test_too_many_broken_files_stop_the_run_with_the_list(config: Path) -> None:
    for name in ("0.mp4", "1.mp4"):
        (config.parent / "files" / name).write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"2 of the files.*0\.mp4: the file is empty.*1\.mp4"
    ) as it:
        open_files(config, "data.held_out=0").build()
    assert "1 are allowed" in str(it.value) and "data.max_skipped" in str(it.value)
    assert not list((config.parent / "latents").glob("video*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_files(config, "data.held_out=0", "data.max_skipped=0.5").build()
    with pytest.raises(ValueError, match="2 of the files"):
        open_files(config, "data.held_out=0").build()


def test_a_mended_file_is_read_and_no_other(config: Path) -> None:
    path = config.parent / "files" / "1.mp4"
    whole = path.read_bytes()
    path.write_bytes(b"nonsense")
    with pytest.warns(UserWarning, match="could not be read"):
        open_files(config, "data.held_out=0").build()
    path.write_bytes(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = open_files(config, "data.held_out=0").latents.sizes()
    assert counts[Bucket("video", Size(16, 16))] == 4


def test_broken_files_that_are_held_out_leave_the_training_files_to_measure(config: Path) -> None:
    data = open_files(config)
    (held_out,) = data.records[1]
    (config.parent / "files" / held_out.name).write_bytes(b"nonsense")
    with pytest.warns(UserWarning, match="could not be read"):
        assert data.held_out is data.latents


def test_another_encoder_is_refused_and_another_decoder_is_not(config: Path) -> None:
    open_files(config).build()
    path = config.parent / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)

    def shift(prefix: str) -> None:
        name = next(name for name in weights if name.startswith(prefix))
        save_file(weights | {name: weights[name] + 1}, path, metadata={"format": "pt"})

    shift("decoder.")
    open_files(config).build()
    shift("encoder.")
    with pytest.raises(ValueError, match="made with something else"):
        open_files(config).build()


@pytest.mark.parametrize(
    "change",
    ["data.num_frames=9", "data.fps=4", "data.seed=1", "data.clips_per_file=2", "data.height=32"],
)
def test_other_clips_are_refused(config: Path, change: str) -> None:
    open_files(config).build()
    with pytest.raises(ValueError, match="made with something else"):
        open_files(config, change).build()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.tasks={film: 1}", "film"),
        ("data.tasks={video: 0, image: 0}", "one must be above 0"),
        ("data.aspect_ratios=[wide]", "aspect ratio is 'wide'"),
        ("data.decoder=vhs", "decoder is 'vhs'; expected one of pyav, decord"),
        ("data.held_out=1", "held_out is a share"),
        ("data.timeout=0", "timeout=0"),
        ("data.height=20", "expected multiples of 8"),
        ("data.num_frames=7", "7 frames do not fit"),
        ("data.clips={video: 4}", "'data.clips' does not go with the others"),
        ("data.folder=/nowhere", "/nowhere is not a folder"),
    ],
)
def test_settings_that_cannot_be_are_refused(config: Path, change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_files(config, change).build()


def test_a_task_without_files_is_named(config: Path) -> None:
    write_metadata(config.parent / "files", [{"file_name": f"{i}.png", "text": "a"} for i in "01"])
    with pytest.raises(ValueError, match="no file for the task video"):
        open_files(config).build()


def test_the_words_of_a_run_outlive_its_files(config: Path) -> None:
    words = list(open_files(config).words())
    assert {"red", "circle"} & set(words)
    write_metadata(config.parent / "files", [{"file_name": "0.mp4", "text": "xylophone"}])
    assert list(open_files(config).words()) == words


def test_the_example_says_something_about_every_key() -> None:
    path = Path(__file__).parents[2] / "configs" / "folder.yaml"
    settings = load_config(FlowSettings, path)
    assert isinstance(settings.data, FolderData)
    written = re.findall(r"^  (\w+):", path.read_text("utf-8"), re.MULTILINE)
    assert {it.name for it in fields(FolderData)} <= set(written)


def test_web_dataset_shards_are_the_same_data(config: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder = open_files(config, "data.held_out=0")
    with webdataset.TarWriter(str(tmp_path / "s.tar")) as writer:
        for index, record in enumerate(folder.records[0]):
            name = Path(record.name)
            content = (tmp_path / "files" / name).read_bytes()
            text = {"text": list(record.captions)}
            writer.write({"__key__": f"{index}", name.suffix[1:]: content, "json": text})
    text = config.read_text().replace(f"folder: {tmp_path}/files", f"webdataset: {tmp_path}/s.tar")
    config.write_text(text.replace("/latents", "/others"))
    shards = open_files(config, "data.held_out=0")
    assert shards.latents.sizes() == folder.latents.sizes()
    stills = [
        load_file(data.folder / "image-00000.safetensors")["16x16"][-2:]
        for data in (folder, shards)
    ]
    assert torch.equal(*stills)
