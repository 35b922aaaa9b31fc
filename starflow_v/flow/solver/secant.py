"""What two sweeps teach about the next: a secant step along the sequence.

A sweep answers old tokens with new ones, new_j = shift(old_<j) + scale(old_<j) · z_j, and plain
Jacobi guesses the new ones next. But where a token hangs strongly on the one before it, an error
travels only one token a sweep. Two sweeps show how much: where the token before was changed by
Δold_(j-1), the answer changed by Δnew_j. If the token before is now to be changed by δ_(j-1), let
the answer follow in proportion,

    δ_j = new_j - old_j + c_j Δnew_j,        c_j = <Δold_(j-1), δ_(j-1)> / |Δold_(j-1)|²,

a rank-one secant (Broyden) model of the strongest part of the Jacobian, solved along the whole
window at once: only the numbers c run from token to token. Guesses need not be right, so a wrong
model costs a sweep at worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_FACTOR = 2.0
"""|c| is at most this: where the token before hardly moved, its secant says nothing."""


@dataclass(frozen=True)
class Sweep:
    """Tokens that were proposed and what the block answered, in groups.

    Args:
        start: the first group.
        old: as proposed, (B, k, D), D numbers a group.
        new: as answered, (B, k, D).
    """

    start: int
    old: Tensor
    new: Tensor

    def since(self, before: Sweep) -> Sweep:
        """What changed, zero where a group was not in the sweep before."""
        begin = self.start - before.start
        shared = before.old.shape[1] - begin
        old, new = torch.zeros_like(self.old), torch.zeros_like(self.new)
        old[:, :shared] = self.old[:, :shared] - before.old[:, begin:]
        new[:, :shared] = self.new[:, :shared] - before.new[:, begin:]
        return Sweep(self.start, old, new)


def products(now: Sweep, change: Sweep) -> Tensor:
    """<Δold, new - old>, <Δold, Δnew> and |Δold|² of each group, (3, B, k)."""
    others = torch.stack((now.new - now.old, change.new, change.old))
    return (change.old * others).sum(-1)


def factors(numbers: Tensor, standing: Tensor) -> Tensor:
    """c of each group, (B, k).

    Args:
        numbers: their `products`, (3, B, k).
        standing: how many groups at the front are not changed any more, (B,). The one behind them
            takes its answer as it is.
    """
    rows = zip(*numbers.tolist(), standing.tolist(), strict=True)
    return numbers.new_tensor([_walk(*row) for row in rows])


def _walk(plain: list[float], bent: list[float], size: list[float], standing: int) -> list[float]:
    """c of one sample's groups, from the front to the end."""
    result, c, first = [0.0] * len(size), 0.0, standing
    for j in range(first, len(size) - 1):
        along = plain[j] + c * bent[j]
        c = along / size[j] if size[j] > 0 else 0.0
        c = result[j + 1] = min(max(c, -LARGEST_FACTOR), LARGEST_FACTOR)
    return result
