"""What is trained, apart from how: the seam between the engine and the things it trains.

The engine (`trainer`) knows about steps, processes, precision, gradients, averages and checkpoints.
A recipe knows data, losses and samples. All randomness of a step lies in its batch, and a batch is
a pure function of (seed, step, sample number): so a resumed run, and a run on several processes,
see what one uninterrupted process would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network with an optimizer of its own. The learning rates in its groups are the peaks."""

    module: nn.Module
    optimizer: Optimizer
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    average_decay: float = 0.999
    """Decay of the moving average that is sampled from and exported."""
    sometimes_unused: bool = False
    """Whether a step may leave some parameters without a gradient (several processes need to
    know)."""
    only_trained: bool = False
    """Whether averages and checkpoints leave out the frozen parameters, which the recipe brings
    along again."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one process has to make for one (micro) batch: some of a step's samples, by number."""

    step: int
    samples: range


class Recipe(Protocol[Batch]):
    """Something to train."""

    parts: Mapping[str, Part]
    """Name -> network. The names are also file names."""

    def batch_size(self, step: int) -> int:
        """Samples of a step, all processes together."""

    def batches(self, shares: Iterable[Share]) -> Iterator[Batch]:
        """A batch for each share, in order: tensors (or tuples and dictionaries of them) on the
        CPU."""

    def backward(
        self, modules: Mapping[str, nn.Module], batch: Batch, backward: Callable[[Tensor], None]
    ) -> Mapping[str, Tensor]:
        """Compute losses with `modules` (the parts, prepared by the engine; call them, nothing else
        inside them) and leave gradients in their parameters with `backward(loss)`, as often as
        needed. What comes back is logged.

        A loss is a mean over the batch's samples. The engine averages gradients over micro batches
        and processes afterwards, so gradients of inputs are those of this batch alone, unscaled.
        """

    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Measure and put samples into `folder`; the parts' modules have their averages
        meanwhile."""

    def export(self, folder: Path) -> None:
        """Write the finished model; the parts' modules have their averages meanwhile."""
