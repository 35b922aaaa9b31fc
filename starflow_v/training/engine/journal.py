"""What a run tells: a progress bar for people, a JSON line a logged step for machines, TensorBoard
and Weights & Biases if wanted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

LOG_NAME = "log.jsonl"


class Journal:
    """Open during a run, as a context. A silent journal (every process but the first) does
    nothing."""

    def __init__(
        self,
        folder: Path,
        *,
        steps: int,
        done: int,
        tensorboard: bool = False,
        wandb: str | None = None,
        silent: bool = False,
    ) -> None:
        self.silent = silent
        if silent:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = (folder / LOG_NAME).open("a", encoding="utf-8")
        self._bar = tqdm(total=steps, initial=done, unit="step", dynamic_ncols=True, smoothing=0.05)
        self._writer = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(folder / "tensorboard")
        self._run = None if wandb is None else _start_wandb(wandb, folder)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.silent:
            return
        self._lines.close()
        self._bar.close()
        if self._writer is not None:
            self._writer.close()
        if self._run is not None:
            self._run.finish(exit_code=0 if error is None else 1)

    def advance(self) -> None:
        """One step is done."""
        if not self.silent:
            self._bar.update()

    def record(self, step: int, numbers: Mapping[str, float], *, event: str = "step") -> None:
        """Log numbers of a step, null where they are not finite; the line is written when this
        returns."""
        if self.silent:
            return
        finite = {name: it if math.isfinite(it) else None for name, it in numbers.items()}
        line: dict[str, Any] = {"event": event, "step": step, **finite}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        shown = [name for name in numbers if not name.startswith(("lr.", "norm.", "seconds"))]
        self._bar.set_postfix({name: f"{numbers[name]:.4g}" for name in shown[:4]}, refresh=False)
        if self._writer is not None:
            for name, value in numbers.items():
                self._writer.add_scalar(f"{event}/{name}", value, step)
        if self._run is not None:
            self._run.log({f"{event}/{name}": it for name, it in numbers.items()}, step=step)


def _start_wandb(project: str, folder: Path) -> Any:
    """A run for each folder: a resumed one goes on with its own."""
    try:
        import wandb
    except ImportError as error:
        raise ValueError(
            f"trainer.wandb={project} needs Weights & Biases: pip install starflow_v[wandb]"
        ) from error
    path = folder.resolve()
    number = sha256(str(path).encode()).hexdigest()[:16]
    return wandb.init(project=project, name=path.name, id=number, dir=str(folder), resume="allow")
