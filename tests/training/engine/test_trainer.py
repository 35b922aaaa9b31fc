"""The engine: learning, resuming, stopping, sharing, refusing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from starflow_v.training.engine.checkpoint import list_checkpoints
from starflow_v.training.engine.trainer import Trainer, TrainingFailedError
from tests.training.toy import ToyRecipe, toy_settings

Losses = Callable[[Path], dict[int, tuple[float, float]]]
ROOT = Path(__file__).parents[3]


class PowerFailureError(Exception):
    """The machine stops at once."""


class Crashing(ToyRecipe):
    """Fails in the middle of step 12, when the last checkpoint is two steps old."""

    def batch_size(self, step: int) -> int:
        if step == 12:
            raise PowerFailureError
        return super().batch_size(step)


class Unmeasured(ToyRecipe):
    """Fails in the evaluation of step 13."""

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        if step == 13:
            raise PowerFailureError
        return super().evaluate(step, folder)


def test_learns_and_writes(tmp_path: Path, losses: Losses) -> None:
    assert Trainer(ToyRecipe(), toy_settings(tmp_path, steps=150)).run() == 150
    told = losses(tmp_path)
    assert list(told) == list(range(1, 151))
    early, late = ([told[i][0] for i in steps] for steps in (range(1, 11), range(141, 151)))
    assert sum(late) < 0.5 * sum(early)
    assert (tmp_path / "samples/step-00000010/sample.txt").read_text() == "10"
    assert [it.name for it in list_checkpoints(tmp_path / "checkpoints")] == [
        "step-00000145",
        "step-00000150",
    ]


def test_resumed_equals_uninterrupted(tmp_path: Path, losses: Losses) -> None:
    """Also with an outlier's history, dropout, momentum and both networks' averages in between.
    Dropout once was off from the start, or from resuming, to the next evaluation."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    first = Trainer(ToyRecipe(poison=range(3, 5)), toy_settings(whole))
    first.run()
    with pytest.raises(PowerFailureError):
        Trainer(Crashing(poison=range(3, 5)), toy_settings(broken)).run()
    second = Trainer(ToyRecipe(poison=range(3, 5)), toy_settings(broken))
    assert second.run() == 20
    assert losses(broken) == losses(whole)
    assert losses(whole)[4] == (None, None)
    for name, part in first.parts.items():
        for key, value in part.average.average.items():
            assert torch.equal(value, second.parts[name].average.average[key])


def test_dropout_is_on_from_the_first_step(tmp_path: Path) -> None:
    """Also in a network that comes in evaluation mode."""
    recipe = ToyRecipe()
    assert not recipe.parts["teacher"].module.training
    Trainer(recipe, toy_settings(tmp_path))
    assert recipe.parts["teacher"].module.training


def test_a_last_evaluation_that_fails_costs_no_step_and_is_made_up_for(tmp_path: Path) -> None:
    settings = toy_settings(tmp_path, steps=13)
    with pytest.raises(PowerFailureError):
        Trainer(Unmeasured(), settings).run()
    assert list_checkpoints(settings.checkpoints)[-1].name == "step-00000013"
    sample = tmp_path / "samples/step-00000013/sample.txt"
    assert not sample.parent.exists()
    assert Trainer(ToyRecipe(), settings).run() == 13
    assert sample.read_text() == "13"
    assert Trainer(Unmeasured(), settings).run() == 13  # is not measured a third time


def test_a_time_limit_saves_and_a_new_start_goes_on(tmp_path: Path) -> None:
    stopped = Trainer(ToyRecipe(), toy_settings(tmp_path, steps=100_000, max_seconds=0.2)).run()
    assert 0 < stopped < 100_000
    again = Trainer(ToyRecipe(), toy_settings(tmp_path, steps=stopped + 3))
    assert again.resume() and again.step == stopped
    assert again.run() == stopped + 3


def test_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    runs = []
    for count in (1, 4):
        recipe = ToyRecipe()
        recipe.parts["teacher"].module[1].p = 0.0  # dropout draws anew for each micro batch
        Trainer(recipe, toy_settings(tmp_path / str(count), accumulation=count, steps=8)).run()
        runs.append(recipe)
    for one, other in zip(
        runs[0].parts["teacher"].module.parameters(),
        runs[1].parts["teacher"].module.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert runs[0].seen == runs[1].seen


def test_steps_that_are_not_finite_are_skipped(tmp_path: Path) -> None:
    trainer = Trainer(ToyRecipe(poison=range(3, 6)), toy_settings(tmp_path))
    trainer.run()
    assert trainer.parts["teacher"].guard.not_finite == 3
    assert all(torch.isfinite(p).all() for p in trainer.parts["teacher"].module.parameters())


def test_too_many_in_a_row_stop_the_run(tmp_path: Path) -> None:
    trainer = Trainer(ToyRecipe(poison=range(7, 99)), toy_settings(tmp_path, max_not_finite=4))
    with pytest.raises(TrainingFailedError, match=r"last 4 gradients of 'teacher'.*step-00000010"):
        trainer.run()
    assert trainer.step == 11


def test_averages_are_what_is_evaluated_and_exported(tmp_path: Path) -> None:
    trainer = Trainer(ToyRecipe(), toy_settings(tmp_path))
    trainer.run()
    part = trainer.parts["pupil"]
    own = part.module.weight.detach().clone()
    with trainer.averaged():
        assert torch.equal(part.module.weight, part.average.average["weight"])
        assert not part.module.training
    assert torch.equal(part.module.weight, own)
    assert not torch.equal(own, part.average.average["weight"])
    assert part.module.training


def test_another_model_or_seed_is_refused(tmp_path: Path) -> None:
    Trainer(ToyRecipe(), toy_settings(tmp_path, steps=5)).run()
    with pytest.raises(ValueError, match="seed 0, this run has seed 1"):
        Trainer(ToyRecipe(), toy_settings(tmp_path, seed=1)).run()
    wider = ToyRecipe()
    linear = torch.nn.Linear(3, 5)
    part = wider.parts["pupil"]
    wider.parts = {
        **wider.parts,
        "pupil": type(part)(module=linear, optimizer=torch.optim.AdamW(linear.parameters())),
    }
    with pytest.raises(
        ValueError, match=r"'weight' has the shape \(3, 3\) in the checkpoint and \(5, 3\)"
    ):
        Trainer(wider, toy_settings(tmp_path)).run()


def test_sharing_out_needs_several_processes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs several processes"):
        Trainer(ToyRecipe(), toy_settings(tmp_path, shard=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a compiler")
def test_compiled_networks_learn_the_same(tmp_path: Path, losses: Losses) -> None:
    for name in ("eager", "compiled"):
        recipe = ToyRecipe()
        recipe.parts["teacher"].module[1].p = 0.0  # dropout draws other numbers when compiled
        settings = toy_settings(tmp_path / name, steps=4, compile=name == "compiled")
        Trainer(recipe, settings).run()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    for step, values in losses(tmp_path / "eager").items():
        assert losses(tmp_path / "compiled")[step] == pytest.approx(values, rel=1e-4)


def test_a_batch_that_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose a multiple of 3"):
        Trainer(ToyRecipe(), toy_settings(tmp_path, accumulation=3)).run()


@pytest.mark.parametrize("change", [{"steps": 0}, {"precision": "fp8"}, {"keep": 0}])
def test_bad_settings(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        toy_settings(tmp_path, **change)


RUN = """
import sys, time
from pathlib import Path
from starflow_v.training.engine.trainer import Trainer
from tests.training.toy import ToyRecipe, toy_settings

class Slow(ToyRecipe):
    def batch_size(self, step):
        time.sleep(float(sys.argv[3]))
        return super().batch_size(step)

shard = sys.argv[4] == "True"
Trainer(Slow(), toy_settings(Path(sys.argv[1]), steps=int(sys.argv[2]), shard=shard)).run()
"""


def command(folder: Path, *, steps: int, pause: float = 0.0) -> list[str]:
    return [sys.executable, "-c", RUN, str(folder), str(steps), str(pause), "False"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed(tmp_path: Path, losses: Losses, kind: signal.Signals) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command(killed, steps=20, pause=0.1), cwd=ROOT)
    while not (killed / "log.jsonl").exists() or len(losses(killed)) < 8:
        time.sleep(0.05)
    process.send_signal(kind)
    process.wait()
    done = int(list_checkpoints(killed / "checkpoints")[-1].name.removeprefix("step-"))
    assert done == 5 if kind is signal.SIGKILL else done >= 8
    for folder in (killed, whole):
        subprocess.run(command(folder, steps=20), cwd=ROOT, check=True)
    assert losses(killed) == losses(whole)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_equal_one(tmp_path: Path, losses: Losses, shard: bool) -> None:
    """Whether each process has all (DDP) or a share (FSDP2), and after resuming."""
    script = tmp_path / "run.py"
    # Dropout draws from each process's own generator: without it, both runs compute the same.
    script.write_text(f"import torch\ntorch.nn.Dropout.forward = lambda self, x: x\n{RUN}")
    arguments = [str(script), str(tmp_path / "two"), "13", "0", str(shard)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29517"]
    subprocess.run([sys.executable, *launch, *arguments], env=environment, check=True)
    arguments[1:] = [str(tmp_path / "one"), "13", "0", "False"]
    shutil.rmtree(list_checkpoints(tmp_path / "two" / "checkpoints")[-1])
    subprocess.run([sys.executable, *launch, *arguments], env=environment, check=True)
    arguments[1:] = [str(tmp_path / "one"), "13", "0", "False"]
    subprocess.run([sys.executable, *arguments], env=environment, check=True)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(two) == list(range(1, 14))
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-4)
