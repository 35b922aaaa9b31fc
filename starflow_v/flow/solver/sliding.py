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

First guesses decide much. A token has nearly the same parameters as a frame before, so it is first
guessed from those; where no frame was before, from those of the last token in the window. A window
that knows nothing begins with one group and doubles. Samples of a batch stand at their own places;
the window begins at the one furthest behind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from starflow_v.flow.affine import AffineParams
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import NOT_FINITE, Cost
from starflow_v.flow.solver.secant import Sweep, factors, products
from starflow_v.flow.solver.sequential import SequentialSolver
from starflow_v.flow.solver.spread import Spread

LARGEST_GUESS = 1e4
"""Guesses are cut to it: a token far behind the front may explode before it settles."""


@dataclass(frozen=True)
class SlidingSolver:
    """Sweeps over a window of tokens that slides along the sequence.

    Args:
        span: tokens in an evaluation, at most; `None`: all that are asked for, a frame.
        tolerance: how far a token may be from solving its equation, in standard deviations of x;
            0 or less: exact, group after group.
        max_sweeps: a token that has been through so many sweeps is committed with whatever is left
            of its error; `None`: no cap.
    """

    span: int | None = 192
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
        if self.tolerance <= 0:
            return SequentialSolver().solve(predictor, noise)
        front = _Front(predictor, noise, guess)
        most = noise.shape[1] if self.span is None else self.span
        span = most if front.warm else predictor.group
        while not front.done:
            front.sweep(min(span, most), self.tolerance, self.max_sweeps)
            span = 2 * span
        return front.x, front.cost(self.tolerance)


class _Front:
    """The tokens, and how far they stand. S = G·g: G groups of g tokens.

    Args:
        predictor: the block.
        noise: z, (B, S, C).
        guess: the first guess, (B, S, C), unless the predictor recalls parameters for a better one.
    """

    def __init__(self, predictor: Predictor, noise: Tensor, guess: Tensor | None) -> None:
        self._predictor, self._z = predictor, noise
        self._group = predictor.group
        self._groups = noise.shape[1] // self._group
        said = predictor.recall(noise.shape[1])
        guess = guess if said is None else said.denormalize(noise)
        self.warm = guess is not None  # every token has a guess of its own
        self.x = _bounded(noise if guess is None else guess.to(noise))
        self._start = 0  # the first group of the window
        self._standing = torch.zeros(len(noise), dtype=torch.long)  # groups, of each sample
        self._stops = [0]  # the group where the window of each sweep ended
        self._before: Sweep | None = None
        self._spread = Spread(noise[0].numel())
        self._tokens, self._worst = 0, 0.0

    @property
    def done(self) -> bool:
        """Whether all tokens are committed."""
        return self._start == self._groups

    def cost(self, tolerance: float) -> Cost:
        """What was spent so far."""
        return Cost(len(self._stops) - 1, self._tokens, self._worst, self._worst <= tolerance)

    def sweep(self, span: int, tolerance: float, cap: int | None) -> None:
        """One evaluation of at most `span` tokens; what then stands in all samples is committed."""
        stop = min(self._start + max(1, span // self._group), self._groups)
        window = slice(self._start * self._group, stop * self._group)
        params = self._predictor.propose(self.x[:, window])
        self._stops.append(stop)
        self._tokens += params.shift.shape[1]
        old = self._in_groups(self.x[:, window]).clone()
        new = self._in_groups(params.denormalize(self._z[:, window]))
        now = Sweep(self._start, old, new)
        change = now.since(self._before or now)
        self._before = now
        residual = (new - old).abs().amax(-1).nan_to_num(nan=math.inf) / self._spread.including(old)
        told = torch.stack((residual, *products(now, change))).cpu()
        first = self._judge(told[0], tolerance, cap)
        c = factors(told[1:], first).to(new)[..., None]
        place = torch.arange(stop - self._start, device=new.device)[:, None]
        first = first.to(new.device)[:, None, None]
        answer = torch.where(place == first, new, _bounded(new + c * change.new))
        tokens = torch.where(place < first, old, answer)
        self.x[:, window] = rearrange(tokens, "b k (g c) -> b (k g) c", g=self._group)
        if not self.warm:
            self._guess_beyond(stop * self._group, params)
        self._commit()

    def _judge(self, residual: Tensor, tolerance: float, cap: int | None) -> Tensor:
        """How many groups of the window stand as they were guessed, of each sample, (B,).

        Args:
            residual: of the groups in the window, (B, k).
        """
        stood = (self._standing - self._start)[:, None]
        capped = 0 if cap is None else self._stops[max(0, len(self._stops) - 1 - cap)]
        place = torch.arange(residual.shape[1])
        fine = (residual <= tolerance) | (place < stood) | (place < capped - self._start)
        first = fine.long().cumprod(1).sum(1)
        if not (residual[place == first[:, None]] < math.inf).all():
            raise FloatingPointError(NOT_FINITE)
        judged = residual[(place >= stood) & (place < first[:, None])]
        self._worst = max(self._worst, *judged.tolist(), 0.0)
        self._standing = self._start + (first + 1).clamp(max=len(place))
        return first

    def _guess_beyond(self, stop: int, params: AffineParams) -> None:
        """Guess the tokens behind the window from the parameters of its last one."""
        near = AffineParams(params.shift[:, -1:], params.scale[:, -1:])
        self.x[:, stop:] = _bounded(near.denormalize(self._z[:, stop:]))

    def _commit(self) -> None:
        """Settle what stands in all samples."""
        start, self._start = self._start, int(self._standing.min())
        tokens = self.x[:, start * self._group : self._start * self._group]
        self._predictor.commit(tokens)
        self._spread.add(tokens)

    def _in_groups(self, tokens: Tensor) -> Tensor:
        """(B, S, C) -> (B, G, g·C)."""
        return rearrange(tokens, "b (k g) c -> b k (g c)", g=self._group)


def _bounded(guess: Tensor) -> Tensor:
    """A copy of what may have exploded, with numbers that a block can read."""
    return guess.nan_to_num(nan=0.0).clamp(-LARGEST_GUESS, LARGEST_GUESS)
