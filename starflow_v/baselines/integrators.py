"""Integrators: from noise to data along dx/dt = v(t, x), with function evaluations counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""v(t, x): a time (a scalar tensor) and a state -> its velocity, of the state's shape."""


class Integral(NamedTuple):
    """Where a path ends, and what following it took."""

    end: Tensor
    evaluations: int
    """Calls of the velocity (NFE), one after the other."""


class Integrator(Protocol):
    """Follows a velocity from one time to another, forwards or backwards."""

    def __call__(
        self, velocity: Velocity, x: Tensor, *, start: float = 0.0, stop: float = 1.0
    ) -> Integral:
        """x at `start` -> x at `stop`."""


@dataclass(frozen=True)
class Euler:
    """Steps of equal length along the velocity at their beginning: one evaluation each."""

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"{self.steps} steps are not valid: give 1 or more")

    def __call__(
        self, velocity: Velocity, x: Tensor, *, start: float = 0.0, stop: float = 1.0
    ) -> Integral:
        length = (stop - start) / self.steps
        for step in range(self.steps):
            time = torch.tensor(start + step * length, dtype=x.dtype, device=x.device)
            x = x + length * velocity(time, x)
        return Integral(x, self.steps)


@dataclass(frozen=True)
class Adaptive:
    """Dormand and Prince's method of order 5 with steps as long as the tolerances allow (dopri5).

    The error is that of the whole batch, so a sample depends slightly on its neighbours. Needs
    torchdiffeq, which comes with `pip install 'starflow_v[matching]'`.
    """

    rtol: float = 1e-5
    atol: float = 1e-5

    def __post_init__(self) -> None:
        if not (self.rtol > 0 and self.atol > 0):
            raise ValueError(f"rtol={self.rtol}, atol={self.atol}: give numbers above 0")

    def __call__(
        self, velocity: Velocity, x: Tensor, *, start: float = 0.0, stop: float = 1.0
    ) -> Integral:
        try:
            from torchdiffeq import odeint
        except ImportError as error:
            raise ValueError(
                "Adaptive needs torchdiffeq: pip install 'starflow_v[matching]', or use Euler()"
            ) from error
        evaluations = 0

        def counted(time: Tensor, state: Tensor) -> Tensor:
            nonlocal evaluations
            evaluations += 1
            return velocity(time, state)

        times = torch.tensor([start, stop], dtype=x.dtype, device=x.device)
        path = odeint(counted, x, times, rtol=self.rtol, atol=self.atol, method="dopri5")
        return Integral(path[-1], evaluations)
