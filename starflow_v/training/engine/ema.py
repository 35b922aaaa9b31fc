"""The exponential moving average of a module's parameters, which is what is sampled from and
shipped.

    average <- average + (1 - d_s)(parameters - average),      d_s = min(decay, (1+s)/(10+s))

d_s grows with the number of updates s, so that a short run is not dominated by its random
beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from starflow_v.training.engine.state import fitting


class ExponentialAverage:
    """Averages in float32 beside the module, under the module's own parameter names."""

    def __init__(self, module: nn.Module, *, decay: float, only_trained: bool = False) -> None:
        """`only_trained` leaves out the parameters that are frozen."""
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of the average must be in [0, 1), got {decay}")
        self.decay = decay
        self.average: dict[str, Tensor] = {
            name: parameter.detach().float().clone()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad or not only_trained
        }

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's parameters as they are after `step` updates."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = dict(module.named_parameters())
        current = [parameters[name].detach().float() for name in self.average]
        torch._foreach_lerp_(list(self.average.values()), current, 1 - decay)

    @torch.no_grad()
    def restore(self, average: Mapping[str, Tensor]) -> None:
        """Go on from a saved average. Names must be the module's."""
        if average.keys() != self.average.keys():
            different = sorted(average.keys() ^ self.average.keys())
            raise ValueError(
                f"the saved average is of another model; names that differ: {different[:5]}"
            )
        self._write(self.average, average)

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Inside this context the module has the average as its parameters.

        It may be another copy of the module than the one that is averaged: slices are put together.
        """
        parameters = dict(module.named_parameters())
        own = {name: parameters[name].detach().clone() for name in self.average}
        self._write(parameters, self.average)
        try:
            yield
        finally:
            self._write(parameters, own)

    @staticmethod
    @torch.no_grad()
    def _write(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            targets[name].copy_(fitting(value, targets[name]))
