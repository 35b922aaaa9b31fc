"""Videos spread over processes: each makes its share, and the videos are those of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from starflow_v.cli.main import app
from starflow_v.data.video_io import read_video
from starflow_v.processes import Process, this_process

PROMPTS = ["a red circle", "a big red circle", "a circle moves right", "red", "blue background"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def arguments(model: Path, prompts: Path, output: Path) -> list[str]:
    options = ["--seed", "7", "--batch-size", "2", "--frames", "5", "--model", str(model)]
    return ["generate", "--prompts", str(prompts), "-o", str(output), *options]


def assert_same_videos(folder: Path, expected: Path) -> None:
    names = sorted(path.name for path in expected.iterdir())
    assert len(names) == 2 * len(PROMPTS)
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        if name.endswith(".json"):
            ours, theirs = (json.loads((place / name).read_text()) for place in (folder, expected))
            for key in ("prompt", "seed", "batch"):
                assert ours.get(key) == theirs.get(key)
        else:
            ours, theirs = (read_video(place / name).frames for place in (folder, expected))
            assert np.array_equal(ours, theirs)


@pytest.fixture
def alone(pipeline: Path, prompts: Path, tmp_path: Path) -> Path:
    """What one process makes."""
    result = CliRunner().invoke(app, arguments(pipeline, prompts, tmp_path / "alone"))
    assert result.exit_code == 0, result.output
    return tmp_path / "alone"


def launched(monkeypatch: pytest.MonkeyPatch, index: int, count: int) -> None:
    for name, value in (("RANK", index), ("LOCAL_RANK", index), ("WORLD_SIZE", count)):
        monkeypatch.setenv(name, str(value))


def test_the_launcher_tells_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert this_process() == Process(index=0, count=1, local_index=0)
    launched(monkeypatch, 3, 4)
    assert this_process() == Process(index=3, count=4, local_index=3)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_batch_is_made_once(count: int) -> None:
    shares = [Process(index=i, count=count).share(range(5)) for i in range(count)]
    assert sorted(batch for share in shares for batch in share) == list(range(5))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("count", [2, 5])
def test_videos_do_not_depend_on_the_number_of_processes(
    pipeline: Path,
    prompts: Path,
    alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    for index in range(count):
        launched(monkeypatch, index, count)
        result = CliRunner().invoke(app, arguments(pipeline, prompts, tmp_path / "spread"))
        assert result.exit_code == 0, result.output
    assert_same_videos(tmp_path / "spread", alone)


def test_one_prompt_is_made_by_the_first_process(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for index in range(2):
        launched(monkeypatch, index, 2)
        options = ["-o", str(tmp_path / "red.gif"), "--model", str(pipeline), "--frames", "1"]
        result = CliRunner().invoke(app, ["generate", "red", "--seed", "0", *options])
        assert result.exit_code == 0, result.output
        made.append("red.gif" in result.output)
    assert made == [True, False]


def test_several_processes_need_a_seed(
    pipeline: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(monkeypatch, 1, 2)
    options = ["-o", str(tmp_path), "--model", str(pipeline)]
    result = CliRunner().invoke(app, ["generate", "--prompts", str(prompts), *options])
    assert result.exit_code == 2
    assert "add --seed" in result.output


@pytest.mark.slow
def test_two_launched_processes(pipeline: Path, prompts: Path, alone: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29531"]
    command = ["-m", "starflow_v.cli.main", *arguments(pipeline, prompts, tmp_path / "two")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launch, *command], env=environment, check=True)
    assert_same_videos(tmp_path / "two", alone)
