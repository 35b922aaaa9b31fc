"""How right an answer is, whatever found it. The equation of every block is

    x = shift(x_<) + scale(x_<) · z.

The *backward* error is what is left of it, |x - shift(x_<) - scale(x_<) · z|, with all that came
before taken from the answer itself: a solver can promise it. The *forward* error is the distance
from the exact answer, which a flow that stretches can make as large as it likes of a small backward
error. Both are the largest of all numbers, in units of the standard deviation of what the block
gives; both halves count, the deep one under guidance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor

from starflow_v.benchmark.clip import Made
from starflow_v.flow.affine import AffineParams
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver import Cost, FrameByFrame, Solver
from starflow_v.flow.starflow import StarFlowModel


def forward_error(x: Tensor, exact: Tensor) -> float:
    """The largest |x - exact|, in standard deviations of the exact answer; (B, T, c, h, w) each."""
    return _largest(x - exact, exact)


@torch.no_grad()
def backward_error(flow: StarFlowModel, made: Made, solver: Solver) -> float:
    """The largest residual of the deep block and of all shallow ones.

    What the shallow blocks made between each other nobody keeps, so they are solved again.
    """
    checking = CheckingSolver(solver)
    window = made.told.window
    at_most = made.u.shape[1] if window is None else window.frames
    for frames in made.u.split(at_most, dim=1):
        flow.solve_shallow(frames, checking)
    return max(checking.largest, deep_error(flow, made))


@torch.no_grad()
def deep_error(flow: StarFlowModel, made: Made) -> float:
    """The largest residual of the deep block, all its answers standing."""
    grid, deep, told = flow.grid(made.u), flow.deep, made.told
    u, z = flow.to_tokens(made.u), flow.to_tokens(made.z)
    frames, window = u.shape[1], told.window
    predictor = _Remembering(
        deep.predictor(
            told.texts.text,
            grid,
            frames=frames if window is None else min(frames, window.frames),
            device=u.device,
            null_text=told.texts.null_text,
            guidance=told.guidance,
        )
    )
    again = None if told.restart is None else told.restart.for_predictor(told.guidance)
    deep.normalize_frames(u, grid, predictor, window=window, restart_text=again)
    slots, noise = (
        rearrange(deep.order.to_slots(tokens, grid), "b t n c -> b (t n) c") for tokens in (u, z)
    )
    return _largest(slots - predictor.params().denormalize(noise), slots)


@dataclass
class CheckingSolver(FrameByFrame):
    """A solver that looks at its answers, each once it stands. For blocks without text.

    Args:
        solver: does the work.
    """

    solver: Solver
    largest: float = field(default=0.0, init=False)

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        x, cost = self.solver.solve(predictor, noise, guess=guess)
        predictor.restart()
        residual = x - predictor.propose(x).denormalize(noise)
        self.largest = max(self.largest, _largest(residual, x))
        return x, cost


class _Remembering:
    """A predictor that keeps the parameters of what was proposed and not committed."""

    def __init__(self, inner: Predictor) -> None:
        self._inner = inner
        self._proposals: list[AffineParams] = []

    @property
    def group(self) -> int:
        return self._inner.group

    def propose(self, guess: Tensor) -> AffineParams:
        self._proposals.append(self._inner.propose(guess))
        return self._proposals[-1]

    def commit(self, tokens: Tensor) -> None:
        self._inner.commit(tokens)
        self._proposals.pop()

    def recall(self, count: int) -> AffineParams | None:
        return self._inner.recall(count)

    def restart(self, text: Tensor | None = None) -> None:
        self._inner.restart(text)

    def params(self) -> AffineParams:
        """Those of all tokens, (B, S, C)."""
        shifts = torch.cat([params.shift for params in self._proposals], dim=1)
        return AffineParams(shifts, torch.cat([params.scale for params in self._proposals], dim=1))


def _largest(error: Tensor, answer: Tensor) -> float:
    """The largest |error| in standard deviations of its sample's answer, (B, ...) both."""
    spread = answer.flatten(1).float().std(1, correction=0).clamp(min=1e-12)
    return float((error.flatten(1).abs().amax(1) / spread).max())
