"""Frames solved each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import Cost


class FrameByFrame:
    """A solver that looks at no frame before the one before it stands, and guesses it from that.

    For solvers of one's own, which then say how a frame is solved and nothing else.
    """

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        """As `Solver`."""
        raise NotImplementedError

    def solve_frames(
        self, predictor: Predictor, noise: Iterable[Tensor], *, guess: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Cost]]:
        """As `Solver`."""
        for z in noise:
            guess, cost = self.solve(predictor, z, guess=guess)
            yield guess, cost
