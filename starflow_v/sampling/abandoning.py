"""Work that stops half-way when nobody wants it any more.

A thread cannot be stopped from outside, and a frame of a large model takes long. So a stage asks
before every evaluation of the network whether the frame is still wanted: `AbandonableSolver` wraps
its solver, and so the predictor. (Frames that the denoiser reads anew are asked about in the same
way.) All work is wanted but that of a thread of `sampling.overlap`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor

from starflow_v.flow.affine import AffineParams
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver import Cost, Solver


class AbandonedError(BaseException):
    """Nobody wants the frame: no failure, as `GeneratorExit` is none."""


WANTED: ContextVar[Callable[[], bool] | None] = ContextVar("WANTED", default=None)
"""What a thread asks; `None`: all is wanted."""


def ask() -> None:
    """An `AbandonedError`, if what this thread does is not wanted any more."""
    wanted = WANTED.get()
    if wanted is not None and not wanted():
        raise AbandonedError


def while_wanted(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """The frames; before each one it asks."""
    for frame in frames:
        ask()
        yield frame


@dataclass(frozen=True)
class AbandonableSolver:
    """Another solver, the same answers, unless they are not wanted."""

    solver: Solver

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        return self.solver.solve(_Asking(predictor), noise, guess=guess)

    def solve_frames(
        self, predictor: Predictor, noise: Iterable[Tensor], *, guess: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Cost]]:
        return self.solver.solve_frames(_Asking(predictor), noise, guess=guess)


@dataclass(frozen=True)
class _Asking:
    """A predictor that asks before it proposes."""

    predictor: Predictor

    @property
    def group(self) -> int:
        return self.predictor.group

    def propose(self, guess: Tensor) -> AffineParams:
        ask()
        return self.predictor.propose(guess)

    def commit(self, tokens: Tensor) -> None:
        self.predictor.commit(tokens)

    def recall(self, count: int) -> AffineParams | None:
        return self.predictor.recall(count)

    def restart(self, text: Tensor | None = None) -> None:
        self.predictor.restart(text)
