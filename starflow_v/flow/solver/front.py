"""The front between the tokens that stand and those that are guessed, see `sliding`.

First guesses decide much. A token has nearly the same parameters as a frame before, so it is first
guessed from those; where no frame was before, from those of the last token in the window. A window
that knows nothing begins with one group and grows. Samples of a batch stand at their own places;
the window begins at the one furthest behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor

from starflow_v.flow.affine import AffineParams
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import NOT_FINITE, Cost
from starflow_v.flow.solver.secant import Sweep, factors, products
from starflow_v.flow.solver.spread import Spread

LARGEST_GUESS = 1e4
"""Guesses are cut to it: a token far behind the front may explode before it settles."""


class Front:
    """The tokens of frames, and how far they stand. S = G·g: G groups of g tokens in a frame.

    Groups are counted from the first one of the first frame.

    Args:
        predictor: the block.
        first: z of the first frame, (B, S, C).
        noise: z of the others, taken when the window reaches them.
        guess: a guess of the first frame, (B, S, C), unless the predictor recalls parameters for a
            better one.
    """

    def __init__(
        self, predictor: Predictor, first: Tensor, noise: Iterator[Tensor], guess: Tensor | None
    ) -> None:
        self._predictor, self._z, self._noise = predictor, first, noise
        self._group = predictor.group
        self._size = first.shape[1] // self._group  # G
        said = predictor.recall(first.shape[1])
        guess = guess if said is None else said.denormalize(first)
        self.warm = guess is not None  # every token has a guess of its own
        self._x = _bounded(first if guess is None else guess.to(first))
        self._said = torch.zeros_like(torch.stack((first, first)))  # parameters, as told last
        self._start = 0  # the first group of the window
        self._standing = torch.zeros(len(first), dtype=torch.long)  # groups, of each sample
        self._stops = [0]  # the group where the window of each sweep ended
        self._before: Sweep | None = None
        self._numbers = first[0].numel()  # of a frame
        self._spread = Spread(self._numbers)
        self._end = self._size  # of the frame that the window begins in
        self._cost = Cost()
        self._ahead = 0.0  # the residual of what stands in the frame behind it

    def goes_on(self) -> bool:
        """Whether there are tokens that do not stand; it takes a frame to find out."""
        return self._look_ahead(self._start + 1) > self._start

    @property
    def has_frame(self) -> bool:
        """Whether the next frame stands."""
        return self._start >= self._end

    def frame(self, tolerance: float) -> tuple[Tensor, Cost]:
        """The next frame (B, S, C), and what was spent since the one before."""
        tokens = self._x[:, self._slots(self._end - self._size, self._end)].clone()
        cost = replace(self._cost, converged=self._cost.residual <= tolerance)
        self._cost, self._ahead = Cost(residual=self._ahead), 0.0
        self._end += self._size
        return tokens, cost

    def sweep(self, span: int, tolerance: float, cap: int | None) -> None:
        """One evaluation of at most `span` tokens; what then stands in all samples is committed."""
        stop = self._look_ahead(self._start + max(1, span // self._group))
        window = self._slots(self._start, stop)
        params = self._predictor.propose(self._x[:, window])
        self._stops.append(stop)
        self._said[:, :, window] = torch.stack((params.shift, params.scale))
        old = self._in_groups(self._x[:, window]).clone()
        new = self._in_groups(params.denormalize(self._z[:, window]))
        now = Sweep(self._start, old, new)
        change = now.since(self._before or now)
        self._before = now
        residual = (new - old).abs().amax(-1) / self._units(old)
        residual = residual.nan_to_num(nan=math.inf, posinf=math.inf)
        told = torch.stack((residual, *products(now, change))).cpu()
        first = self._judge(told[0], tolerance, cap)
        c = factors(told[1:], first).to(new)[..., None]
        place = torch.arange(stop - self._start, device=new.device)[:, None]
        first = first.to(new.device)[:, None, None]
        answer = torch.where(place == first, new, _bounded(new + c * change.new))
        tokens = torch.where(place < first, old, answer)
        self._x[:, window] = rearrange(tokens, "b k (g c) -> b (k g) c", g=self._group)
        if not self.warm and stop < self._size:
            self._guess_beyond(stop)
        self._commit()

    def _look_ahead(self, stop: int) -> int:
        """Take frames up to a group, and guess the tokens that were not guessed yet.

        Returns:
            That group, or the end of all frames.
        """
        while stop * self._group > self._z.shape[1]:
            z = next(self._noise, None)
            if z is None:
                break
            self._z = torch.cat((self._z, z), dim=1)
            self._x = torch.cat((self._x, torch.zeros_like(z)), dim=1)
            self._said = torch.cat((self._said, torch.zeros_like(torch.stack((z, z)))), dim=2)
        stop = min(stop, self._z.shape[1] // self._group)
        begin = max(self._stops[-1], self._size)
        if stop > begin:
            near = AffineParams(
                *self._said[:, :, self._slots(begin - self._size, stop - self._size)]
            )
            fresh = self._slots(begin, stop)
            self._x[:, fresh] = _bounded(near.denormalize(self._z[:, fresh]))
        return stop

    def _units(self, groups: Tensor) -> Tensor:
        """The deviation that errors are measured in, of each group of the window, (B, k)."""
        here = self._end - self._start
        units = self._spread.including(groups[:, :here])
        if groups.shape[1] <= here:
            return units
        return torch.cat((units, Spread(self._numbers).including(groups[:, here:])), dim=1)

    def _judge(self, residual: Tensor, tolerance: float, cap: int | None) -> Tensor:
        """How many groups of the window stand as they were guessed, of each sample, (B,).

        Args:
            residual: of the groups in the window, (B, k).
        """
        stood = (self._standing - self._start)[:, None]
        capped = 0 if cap is None else self._stops[max(0, len(self._stops) - 1 - cap)]
        place = torch.arange(residual.shape[1])
        given_up = (place < capped - self._start) & residual.isfinite()
        first = ((residual <= tolerance) | (place < stood) | given_up).long().cumprod(1).sum(1)
        judged = residual.where((place >= stood) & (place < first[:, None]), 0.0).amax(0).tolist()
        here = self._end - self._start
        self._cost += Cost(1, len(place) * self._group, max(judged[:here]))
        self._ahead = max(self._ahead, *judged[here:], 0.0)
        broken = (residual.isinf() & (place == first[:, None])).any(1)
        if (broken & (first == stood[:, 0]) & (self._standing < self._end)).any():
            raise FloatingPointError(NOT_FINITE)
        exact = (~broken).long()  # the group behind those that stand: it has seen only these
        self._standing = self._start + (first + exact).clamp(max=len(place))
        return first

    def _guess_beyond(self, stop: int) -> None:
        """Guess what is behind the window, in the first frame, from its last token's parameters."""
        last = stop * self._group - 1
        near = AffineParams(*self._said[:, :, last : last + 1])
        behind = self._slots(stop, self._size)
        self._x[:, behind] = _bounded(near.denormalize(self._z[:, behind]))

    def _commit(self) -> None:
        """Settle what stands in all samples."""
        start, self._start = self._start, int(self._standing.min())
        self._predictor.commit(self._x[:, self._slots(start, self._start)])
        if self.has_frame:
            start, self._spread = self._end, Spread(self._numbers)
        self._spread.add(self._x[:, self._slots(start, self._start)])

    def _slots(self, start: int, stop: int) -> slice:
        """The tokens of groups."""
        return slice(start * self._group, max(start, stop) * self._group)

    def _in_groups(self, tokens: Tensor) -> Tensor:
        """(B, S, C) -> (B, G, g·C)."""
        return rearrange(tokens, "b (k g) c -> b k (g c)", g=self._group)


def _bounded(guess: Tensor) -> Tensor:
    """A copy of what may have exploded, with numbers that a block can read."""
    return guess.nan_to_num(nan=0.0).clamp(-LARGEST_GUESS, LARGEST_GUESS)
