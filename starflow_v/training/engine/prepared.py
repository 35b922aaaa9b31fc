"""A part of a recipe as the engine holds it: network, optimizer, guard and average together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from starflow_v.training.engine.ema import ExponentialAverage
from starflow_v.training.engine.guard import GradientGuard, Verdict
from starflow_v.training.engine.recipe import Part
from starflow_v.training.engine.state import (
    module_state,
    optimizer_state,
    restore_module,
    restore_optimizer,
    whole,
)


class PreparedPart:
    """Everything that one network needs in order to be trained, saved and resumed."""

    KINDS = ("weights", "average", "optimizer")
    """The files that it has in a checkpoint."""

    def __init__(
        self,
        part: Part,
        *,
        wrapped: nn.Module,
        trained: nn.Module,
        optimizer: Optimizer,
        outlier: float,
    ) -> None:
        """`wrapped` and `optimizer` are the part's own, prepared for several processes where there
        are several; `trained` holds the parameters that learn (a copy in slices, or the part's
        module)."""
        self.module = part.module
        self.wrapped = wrapped
        self.trained = trained
        self.optimizer = optimizer
        self.clip_norm = part.clip_norm
        self.peaks = [group["lr"] for group in part.optimizer.param_groups]
        self.guard = GradientGuard(multiple=outlier)
        self.only_trained = part.only_trained
        self.average = ExponentialAverage(
            trained, decay=part.average_decay, only_trained=part.only_trained
        )

    def set_learning_rate(self, factor: float) -> None:
        """Every group of parameters learns at this share of its peak."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def apply(self, norm: float, step: int) -> None:
        """Use up the gradients, whose norm is told: step and average, unless the guard refuses."""
        if self.guard.judge(norm) is Verdict.ACCEPTED:
            self.optimizer.step()
            self.average.update(self.trained, step)
        self.optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds, kind of file -> name -> tensor."""
        return {
            "weights": module_state(self.trained, only_trained=self.only_trained),
            "average": {name: whole(value) for name, value in self.average.average.items()},
            "optimizer": optimizer_state(self._plain_optimizer, self.trained),
        }

    def restore(
        self, tensors: Mapping[str, Mapping[str, Tensor]], guard: Mapping[str, Any]
    ) -> None:
        """Become what was saved."""
        restore_module(self.trained, tensors["weights"], only_trained=self.only_trained)
        self.average.restore(tensors["average"])
        restore_optimizer(self._plain_optimizer, self.trained, tensors["optimizer"])
        self.guard.restore(guard)

    @property
    def _plain_optimizer(self) -> Optimizer:
        """The optimizer itself, whose state is keyed by parameters."""
        inner: Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        return inner
