"""The solver of choice: sweeps over a window that moves on with every token that stands.

Put a guess x into the right-hand side, and the change

    r_j = |shift(x_<j) + scale(x_<j) · z_j - x_j|

says how far token j is from solving its equation *given the guesses before it*. So the tokens at
the front whose changes are all within the tolerance may be committed **as they were guessed**:
their parameters, and their keys in the draft, were computed from just what is committed. The first
token behind them has only committed ones before it: its new value is exact, and is committed too.
Thus the promise holds on any weights, without an evaluation for the check, however the guesses were
found; and there are never more evaluations than groups. (A token that merely stood still for a
sweep may move again; only the order of the tokens makes it sure.)

The window does not stop at the end of a frame: while the last tokens of one settle, the first ones
of the next do, too. `front` has the tokens, and says where first guesses come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import Cost
from starflow_v.flow.solver.front import Front
from starflow_v.flow.solver.sequential import SequentialSolver
from starflow_v.nn.layers import widen

GROWTH = 4
"""By so much a window grows from sweep to sweep that began with nothing to guess from."""


@dataclass(frozen=True)
class SlidingSolver:
    """Sweeps over a window of tokens that slides along the sequence.

    Args:
        span: tokens in an evaluation, at most, and no more than a frame has; `None`: a frame.
        tolerance: how far a token may be from solving its equation, in standard deviations of its
            frame of x; 0 or less: exact, group after group.
        max_sweeps: a token that has been through so many sweeps is committed with whatever is left
            of its error; `None`: no cap.
    """

    span: int | None = 112
    tolerance: float = 1e-3
    max_sweeps: int | None = None

    def __post_init__(self) -> None:
        for name in ("span", "max_sweeps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} is not valid: give a whole number above 0")
        if not math.isfinite(self.tolerance):
            raise ValueError(f"tolerance={self.tolerance} is not valid: give a number such as 1e-3")

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        return next(self.solve_frames(predictor, [noise], guess=guess))

    def solve_frames(
        self, predictor: Predictor, noise: Iterable[Tensor], *, guess: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Cost]]:
        frames = iter(noise)
        first = next(frames, None)
        if first is None:
            return
        if self.tolerance <= 0:
            yield from SequentialSolver().solve_frames(predictor, chain([first], frames))
            return
        front = Front(predictor, widen(first), map(widen, frames), guess)
        most = first.shape[1] if self.span is None else min(self.span, first.shape[1])
        span = most if front.warm else min(predictor.group, most)
        while front.goes_on():
            front.sweep(span, self.tolerance, self.max_sweeps)
            span = min(GROWTH * span, most)
            if front.has_frame:
                yield front.frame(self.tolerance)
