"""The unit in which errors are measured, before all of x is known."""

from __future__ import annotations

import torch
from torch import Tensor


class Spread:
    """A standard deviation that x will not fall below.

    The sum of squares around the mean can only grow with more numbers. That of the tokens that
    stand, divided by the count of *all* numbers, is a variance that x has at least. (The deviation
    of a guess may be anything, and a large one would let wrong tokens pass.)

    Args:
        numbers: in all of x, of each sample.
    """

    def __init__(self, numbers: int) -> None:
        self._numbers = numbers
        self._count = 0
        self._moments: Tensor | float = 0.0  # sums and sums of squares so far, (2, B, 1)

    def add(self, tokens: Tensor) -> None:
        """Tokens (B, k, C) that stand from now on."""
        self._moments = self._moments + _moments(tokens.flatten(1))[..., None]
        self._count += tokens[0].numel()

    def including(self, groups: Tensor) -> Tensor:
        """The deviation if the groups (B, k, D) up to each one stood, too, (B, k)."""
        sums, squares = self._moments + _moments(groups).cumsum(-1)
        steps = torch.arange(1, groups.shape[1] + 1, device=groups.device)
        count = self._count + steps * groups.shape[2]
        variance = (squares - sums.square() / count) / self._numbers
        return variance.clamp(min=1e-24).sqrt()


def _moments(numbers: Tensor) -> Tensor:
    """Sum and sum of squares over the last axis."""
    return torch.stack((numbers.sum(-1), numbers.square().sum(-1)))
