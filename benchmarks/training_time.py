"""What a step of a training costs, beside others: processor seconds in turn, and operations.

Trainings that are to be compared at equal cost are timed side by side, since machines grow slower
and faster while one measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from starflow_v.training.engine.recipe import Part, Recipe, Share
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.recipes import load_settings, recipe_of

Run = tuple[Path, list[str]]
"""A configuration, and what is changed in it."""


@dataclass
class Watched:
    """A recipe that looks at the processor's clock whenever a step begins, and measures nothing
    else."""

    recipe: Recipe[Any]
    begun: list[float] = field(default_factory=list)

    @property
    def parts(self) -> Mapping[str, Part]:
        return self.recipe.parts

    def batch_size(self, step: int) -> int:
        return self.recipe.batch_size(step)

    def batches(self, shares: Iterable[Share]) -> Iterator[Any]:
        batches = self.recipe.batches(shares)
        while True:
            self.begun.append(time.process_time())
            try:
                yield next(batches)
            except StopIteration:
                return

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: Any,
        backward: Callable[[Tensor], None],
    ) -> Mapping[str, Tensor]:
        return self.recipe.backward(modules, batch, backward)

    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        return {}


def training_time(
    runs: Mapping[str, Run], *, steps: int = 4, rounds: int = 3
) -> dict[str, dict[str, float]]:
    """Of each run: its steps, processor seconds and operations of one, and of all.

    Args:
        runs: name -> training; it is not gone on with, but begun anew for a few steps.
        steps: that are timed in a turn; the first ones (which allocate) are left out.
        rounds: turns of each run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name] += _timed(run, steps)
    found = {}
    for name, (config, changes) in runs.items():
        settings, each = load_settings(config, changes).trainer, median(seconds[name])
        found[name] = {
            "steps": settings.steps,
            "seconds_per_step": each,
            "seconds": settings.steps * each,
            "operations": settings.steps * _operations((config, changes)),
            "raw": seconds[name],
        }
    return found


def _timed(run: Run, steps: int) -> list[float]:
    """Processor seconds of some steps."""
    config, changes = run
    with TemporaryDirectory() as folder:
        few = [f"trainer.folder={folder}", f"trainer.steps={steps + 2}", "trainer.log_every=1000"]
        settings = load_settings(config, [*changes, *few])
        watched = Watched(recipe_of(settings))
        Trainer(watched, settings.trainer).run()
    return [after - before for before, after in pairwise(watched.begun[1:])]


def _operations(run: Run) -> int:
    """Floating-point operations of the matrix products of a step."""
    config, changes = run
    recipe = recipe_of(load_settings(config, changes))
    batch = next(recipe.batches([Share(step=0, samples=range(recipe.batch_size(0)))]))
    modules = {name: part.module for name, part in recipe.parts.items()}
    with FlopCounterMode(display=False) as counter:
        recipe.backward(modules, batch, lambda loss: loss.backward())
    return int(counter.get_total_flops())
