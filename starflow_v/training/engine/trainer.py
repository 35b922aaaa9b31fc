"""The training engine: one loop for everything that is trained here. The only file that knows
accelerate.

    batch -> recipe.backward -> mean gradient -> clip -> guard -> optimizers -> averages
          -> now and then: log, evaluate, save

A step's batch is a pure function of (seed, step), torch's global generator is seeded anew from
(seed, step) at each step, and the schedule is a function of the step. So a checkpoint needs the
step, the networks, their averages, their optimizers and the guards' histories, and the resumed run
repeats the uninterrupted one exactly.

Under `accelerate launch` the same loop runs on several processes: each makes its share of every
batch.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, send_to_device
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from starflow_v.training.engine.checkpoint import (
    PARTIAL,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from starflow_v.training.engine.journal import Journal
from starflow_v.training.engine.memory import keep_freed_memory
from starflow_v.training.engine.precision import mixed_precision
from starflow_v.training.engine.prepared import PreparedPart
from starflow_v.training.engine.recipe import Batch, Part, Recipe, Share
from starflow_v.training.engine.schedule import WarmupCosine
from starflow_v.training.engine.settings import TrainerSettings
from starflow_v.training.engine.sharding import shard

SHARDED_BY_US = (DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


class TrainingFailedError(RuntimeError):
    """Too many gradients in a row were not finite."""


class Trainer(Generic[Batch]):
    """One run of a recipe. `run()` trains until the last step, the time limit or a signal."""

    def __init__(
        self,
        recipe: Recipe[Batch],
        settings: TrainerSettings,
        *,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        """`description` (the whole configuration, say) is kept in every checkpoint."""
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.recipe = recipe
        self.settings = settings
        self.description = dict(description or {})
        self.folder = Path(settings.folder)
        AcceleratorState._reset_state()  # one process may run several trainers, of unlike precision
        unused = any(part.sometimes_unused for part in recipe.parts.values())
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),
            mixed_precision=mixed_precision(settings.precision),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused)],
            step_scheduler_with_optimizer=False,
        )
        self.schedule = WarmupCosine(
            steps=settings.steps,
            warmup=min(settings.warmup, settings.steps),
            floor=settings.final_lr,
        )
        self.parts = {name: self._prepare(part) for name, part in recipe.parts.items()}
        self.step = 0
        self._stop = False

    def _prepare(self, part: Part) -> PreparedPart:
        trained = part.module.train()  # pretrained networks come in evaluation mode
        if self.settings.shard:
            trained = shard(part.module, part.optimizer, self._mesh())
        wrapped = self.accelerator.prepare_model(trained, evaluation_mode=self.settings.shard)
        if self.settings.compile:
            wrapped = torch.compile(wrapped)
        return PreparedPart(
            part,
            wrapped=wrapped,
            trained=trained,
            optimizer=self.accelerator.prepare_optimizer(part.optimizer),
            outlier=self.settings.outlier,
        )

    def _mesh(self) -> DeviceMesh:
        """All processes in a row."""
        if self.accelerator.distributed_type not in SHARDED_BY_US:
            raise ValueError(
                f"trainer.shard=true needs several processes of one machine type, not "
                f"{self.accelerator.distributed_type.value}: start it with accelerate launch "
                "--num_processes, and leave FSDP out of accelerate's own configuration"
            )
        return init_device_mesh(self.accelerator.device.type, (self.accelerator.num_processes,))

    def run(self) -> int:
        """Train, resuming from the newest checkpoint; returns the steps done. Saves before it
        stops, and before the last evaluation, which is made up for where it failed."""
        keep_freed_memory()
        self.resume()
        unmeasured = self.step == self.settings.steps and not self._samples.is_dir()
        main = self.accelerator.is_main_process
        journal = Journal(
            self.folder,
            steps=self.settings.steps,
            done=self.step,
            tensorboard=self.settings.tensorboard,
            wandb=self.settings.wandb,
            silent=not main,
        )
        started, saved = time.monotonic(), self.step
        with journal, self._signals():
            batches = self.recipe.batches(self._shares())
            while self.step < self.settings.steps and not self._must_stop(started):
                self._one_step(batches, journal)
                last = self.step == self.settings.steps
                if last or self.step % self.settings.save_every == 0:
                    self.save()
                    saved = self.step
                if last or self.step % self.settings.evaluate_every == 0:
                    self.evaluate(journal)
            if saved != self.step:
                self.save()
            if unmeasured:
                self.evaluate(journal)
        return self.step

    def _one_step(self, batches: Iterator[Batch], journal: Journal) -> None:
        """Gradients from all micro batches, one optimizer step each part, one log line now and
        then."""
        started = time.monotonic()
        rank = self.accelerator.process_index
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step + rank * 1_000_000_007)
        for part in self.parts.values():
            part.set_learning_rate(self.schedule(self.step))
        metrics, waited = self._gradients(batches)
        norms = {name: self._apply(part) for name, part in self.parts.items()}
        self.step += 1
        journal.advance()
        if self.step % self.settings.log_every == 0:
            journal.record(self.step, self._reduced(metrics) | self._vitals(norms, started, waited))
        self._give_up_if_lost()

    def _gradients(self, batches: Iterator[Batch]) -> tuple[dict[str, Tensor], float]:
        """Leave mean gradients in the parameters; also mean metrics and the seconds waited for
        data."""
        count, waited = self.settings.accumulation, 0.0
        metrics: dict[str, Tensor] = {}
        modules = {name: part.wrapped for name, part in self.parts.items()}
        for micro in range(count):
            begun = time.monotonic()
            batch = send_to_device(next(batches), self.accelerator.device)
            waited += time.monotonic() - begun
            with ExitStack() as stack:
                if micro < count - 1:
                    for module in modules.values():
                        stack.enter_context(self.accelerator.no_sync(module))
                told = self.recipe.backward(modules, batch, self.accelerator.backward)
            for name, value in told.items():
                metrics[name] = metrics.get(name, 0.0) + torch.as_tensor(value).detach() / count
        if count > 1:
            for module in modules.values():
                for parameter in module.parameters():
                    if parameter.grad is not None:
                        parameter.grad.div_(count)
        return metrics, waited

    def _apply(self, part: PreparedPart) -> float:
        """Clip, then step if the norm is as usual; returns the norm before clipping."""
        norm = float(self.accelerator.clip_grad_norm_(part.wrapped.parameters(), part.clip_norm))
        part.apply(norm, self.step)
        return norm

    def _reduced(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """Means over processes."""
        device = self.accelerator.device
        return {
            name: float(self.accelerator.reduce(value.float().to(device), reduction="mean"))
            for name, value in metrics.items()
        }

    def _vitals(
        self, norms: Mapping[str, float], started: float, waited: float
    ) -> dict[str, float]:
        """Numbers about the run itself."""
        vitals: dict[str, float] = {}
        for name, part in self.parts.items():
            vitals[f"lr.{name}"] = part.optimizer.param_groups[0]["lr"]
            vitals[f"norm.{name}"] = norms[name]
            vitals[f"skipped.{name}"] = part.guard.outliers + part.guard.not_finite
        return vitals | {"seconds": time.monotonic() - started, "seconds_data": waited}

    def _give_up_if_lost(self) -> None:
        for name, part in self.parts.items():
            if part.guard.in_a_row < self.settings.max_not_finite:
                continue
            good = list_checkpoints(self.settings.checkpoints)
            raise TrainingFailedError(
                f"the last {part.guard.in_a_row} gradients of {name!r} were not finite (step "
                f"{self.step}); the last good checkpoint is {good[-1] if good else 'none'}. "
                "Lower the learning rate, or look at the data of these steps"
            )

    def evaluate(self, journal: Journal) -> None:
        """Let the recipe measure and sample with the averaged weights, on the first process. The
        folder of samples takes its name when all is done."""
        self.accelerator.wait_for_everyone()
        with self.averaged():
            if self.accelerator.is_main_process:
                folder = self._samples.with_name(f"{PARTIAL}{self._samples.name}")
                folder.mkdir(parents=True, exist_ok=True)
                measured = self.recipe.evaluate(self.step, folder)
                journal.record(self.step, measured, event="evaluation")
                shutil.rmtree(self._samples, ignore_errors=True)
                folder.rename(self._samples)
        self.accelerator.wait_for_everyone()

    @property
    def _samples(self) -> Path:
        """Where the samples of this step are, once it is evaluated."""
        return self.folder / "samples" / f"step-{self.step:08d}"

    def export(self, folder: Path) -> None:
        """Write the finished model with its averaged weights."""
        with self.averaged():
            if self.accelerator.is_main_process:
                self.recipe.export(folder)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside this context every part has its averaged weights and is in evaluation mode."""
        with ExitStack() as stack, torch.no_grad():
            for part in self.parts.values():
                stack.enter_context(part.average.applied_to(part.module))
                part.module.eval()
            try:
                yield
            finally:
                for part in self.parts.values():
                    part.module.train()

    def save(self) -> None:
        """Write a checkpoint of this very step."""
        tensors: dict[str, dict[str, Tensor]] = {}
        for name, part in self.parts.items():
            tensors |= {f"{name}.{kind}": it for kind, it in part.tensors().items()}
        state = {
            "guards": {name: part.guard.state() for name, part in self.parts.items()},
            "seed": self.settings.seed,
            "description": self.description,
        }
        if self.accelerator.is_main_process:
            checkpoint = Checkpoint(step=self.step, tensors=tensors, state=state)
            save_checkpoint(checkpoint, self.settings.checkpoints, keep=self.settings.keep)
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Go on from the newest checkpoint in the run's folder, if there is one."""
        found = list_checkpoints(self.settings.checkpoints)
        if not found:
            return False
        self.restore(load_checkpoint(found[-1]))
        return True

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what was saved. A checkpoint of other parts, shapes or another seed is refused."""
        if checkpoint.state["seed"] != self.settings.seed:
            raise ValueError(
                f"the checkpoint was made with seed {checkpoint.state['seed']}, this run has seed "
                f"{self.settings.seed}: keep the seed, or choose another folder"
            )
        if checkpoint.state["guards"].keys() != self.parts.keys():
            raise ValueError(
                f"the checkpoint trains {sorted(checkpoint.state['guards'])}, "
                f"this run {sorted(self.parts)}"
            )
        for name, part in self.parts.items():
            tensors = {kind: checkpoint.tensors[f"{name}.{kind}"] for kind in part.KINDS}
            part.restore(tensors, checkpoint.state["guards"][name])
        self.step = checkpoint.step

    def _shares(self) -> Iterator[Share]:
        """What this process has to make, from the present step to the last."""
        world, micros = self.accelerator.num_processes, self.settings.accumulation
        for step in range(self.step, self.settings.steps):
            size = self.recipe.batch_size(step)
            each, rest = divmod(size, world * micros)
            if rest or not each:
                raise ValueError(
                    f"a batch of {size} samples cannot be shared by {world} processes with "
                    f"{micros} micro batches each: choose a multiple of {world * micros}"
                )
            for micro in range(micros):
                first = (micro * world + self.accelerator.process_index) * each
                yield Share(step=step, samples=range(first, first + each))

    def _must_stop(self, started: float) -> bool:
        """Whether a signal or the time limit ends the run; all processes agree."""
        limit = self.settings.max_seconds
        stop = self._stop or (limit is not None and time.monotonic() - started > limit)
        if self.accelerator.num_processes == 1:
            return stop
        votes = torch.tensor(float(stop), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes, reduction="sum") > 0)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after its present step, with a checkpoint."""

        def note(number: int, frame: object) -> None:
            self._stop = True

        kinds = (signal.SIGINT, signal.SIGTERM)
        try:
            before = [signal.signal(kind, note) for kind in kinds]
        except ValueError:  # not the main thread: signals are somebody else's
            yield
            return
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)
