"""A flow's run through the real entry point: on several processes, and killed at any moment."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from starflow_v import StarFlowVPipeline
from starflow_v.training.engine.checkpoint import list_checkpoints
from tests.training.runs import write_run
from tests.training.test_flow import TINY

ROOT = Path(__file__).parents[2]
MAIN = ["-m", "starflow_v.cli.main", "train"]
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCH += ["--main_process_port", "29531"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The tiny configuration, its codec, and the run of one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("flow")
    path = write_run(folder, TINY)
    run([*MAIN, str(path), "trainer.steps=9"])
    return path


def run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment(), check=True)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def losses(folder: Path) -> dict[int, tuple[float, float]]:
    """Step -> likelihood and denoising error, as logged last."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return {it["step"]: (it["nll"], it["score_error"]) for it in lines if it["event"] == "step"}


@pytest.mark.parametrize("shard", ["false", "true"])
def test_two_processes_equal_one(config, tmp_path, shard):
    """Whether each has all (DDP) or a share (FSDP2); and they resume."""
    changes = ["trainer.steps=9", f"trainer.folder={tmp_path}", f"trainer.shard={shard}"]
    command = [*LAUNCH, *MAIN, str(config), *changes]
    run(command)
    shutil.rmtree(list_checkpoints(tmp_path / "checkpoints")[-1])
    shutil.rmtree(tmp_path / "pipeline")
    run(command)
    expected, got = losses(config.parent / "run"), losses(tmp_path)
    assert list(got) == list(range(1, 10))
    for step, values in expected.items():
        assert got[step] == pytest.approx(values, rel=2e-4)
    one, two = (
        StarFlowVPipeline.from_pretrained(folder / "pipeline").flow.state_dict()
        for folder in (config.parent / "run", tmp_path)
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name].float(), value.float(), atol=2e-3, rtol=1e-2)


def test_killed_and_resumed(config, tmp_path):
    """What was not in a checkpoint is trained again, to the same losses."""
    changes = ["trainer.steps=9", "trainer.save_every=2", f"trainer.folder={tmp_path}"]
    command = [sys.executable, *MAIN, str(config), *changes]
    with subprocess.Popen(command, cwd=ROOT, env=environment()) as process:
        while not list_checkpoints(tmp_path / "checkpoints"):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert max(losses(tmp_path)) < 9
    run(command[1:])
    assert losses(tmp_path) == losses(config.parent / "run")
