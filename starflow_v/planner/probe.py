"""What an evaluation of a block takes, measured through the interface that solvers have."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver import Cost, FrameByFrame
from starflow_v.planner.schemes import Effort
from starflow_v.planner.trace import Trace, Work


@dataclass
class MeasuringSolver(FrameByFrame):
    """Solves nothing: measures the first and the last evaluation of a sequence of tokens."""

    trace: Trace
    effort: Effort
    calls: list[tuple[Work, float]]

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        first, last, span = measure_ends(self.trace, predictor, noise, self.effort.span)
        times = self.effort.passes * noise.shape[1] / span
        self.calls.append(((first + last) * 0.5, times))
        return noise, Cost()


def measure_ends(
    trace: Trace, predictor: Predictor, noise: Tensor, span: int
) -> tuple[Work, Work, int]:
    """The work of evaluating the first and the last `span` tokens of noise (B, S, C).

    The span is cut to whole groups and to what there is.
    """
    count, group = noise.shape[1], predictor.group
    span = min(max(1, span // group) * group, count)
    first = last = _evaluate(trace, predictor, noise[:, :span])
    if count > span:
        with trace.paused():
            skipped = noise[:, span : max(span, count - span)]
            if skipped.shape[1]:
                predictor.propose(skipped)
                predictor.commit(skipped)
        last = _evaluate(trace, predictor, noise[:, max(span, count - span) :])
    return first, last, span


def _evaluate(trace: Trace, predictor: Predictor, noise: Tensor) -> Work:
    """One evaluation, whose work is returned instead of being added to the trace's."""
    before = trace.work
    predictor.commit(predictor.propose(noise).denormalize(noise))
    spent = trace.work - before
    trace.work = before
    return spent
