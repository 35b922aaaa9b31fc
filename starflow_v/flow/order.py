"""In which order a block runs through the tokens of a frame. Frames are never reordered.

The released models run in raster order, forwards and backwards in turn. Neighbours follow each
other there, so each token hangs on the one before it and a sweep of Jacobi's method settles few of
them. From coarse to fine, a token is predicted when a sparser grid of places all around it stands
already; those of one level hardly depend on each other, and a few sweeps settle them all. A dilated
order has four grids without neighbours; the tokens of each may be predicted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from starflow_v.flow.patches import Grid


class TokenOrder(Protocol):
    """A permutation of the tokens of a frame, between raster order and a block's slots."""

    def to_slots(self, tokens: Tensor, grid: Grid) -> Tensor:
        """(..., N, C) in raster order -> in the order of the block."""

    def to_raster(self, tokens: Tensor, grid: Grid) -> Tensor:
        """The inverse of `to_slots`."""

    def places(self, grid: Grid) -> Tensor | None:
        """The raster place of the token in each slot, (N,), if rotary positions shall tell the
        places of tokens; `None`: positions are the slots' own (the released models')."""


@dataclass(frozen=True)
class Raster:
    """Row by row from the top left."""

    def to_slots(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens

    def to_raster(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens

    def places(self, grid: Grid) -> None:
        return None


@dataclass(frozen=True)
class Reversed:
    """Row by row from the bottom right."""

    def to_slots(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens.flip(-2)

    def to_raster(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens.flip(-2)

    def places(self, grid: Grid) -> None:
        return None


@dataclass(frozen=True)
class Placed:
    """An order that is a list of places, which rotary positions tell.

    Args:
        turned: by 180 degrees, so that alternate blocks begin in other places.
    """

    turned: bool = False

    def listed(self, grid: Grid) -> Sequence[int]:
        """The raster place of each slot, not turned."""
        raise NotImplementedError

    def to_slots(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens[..., _places(self, grid, tokens.device), :]

    def to_raster(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens[..., _slots(self, grid, tokens.device), :]

    def places(self, grid: Grid) -> Tensor:
        return _places(self, grid, torch.device("cpu"))


@lru_cache
def _places(order: Placed, grid: Grid, device: torch.device) -> Tensor:
    """The raster place of each slot, (N,)."""
    places = torch.tensor(order.listed(grid), device=device)
    return grid.tokens - 1 - places if order.turned else places


@lru_cache
def _slots(order: Placed, grid: Grid, device: torch.device) -> Tensor:
    """The slot of each raster place, (N,)."""
    return _places(order, grid, device).argsort()


@dataclass(frozen=True)
class CoarseToFine(Placed):
    """Grids of half the spacing one after the other, each without the places that stand already.

    A level is the centres of the squares of the grid before it, then the middles of their sides
    (between rows, between columns); row by row inside each. The slots of 4x4 tokens:

         0 12  3 13
         8  4  9  5
         2 14  1 15
        10  6 11  7
    """

    def listed(self, grid: Grid) -> Sequence[int]:
        spacing = 1 << (max(grid.rows, grid.columns) - 1).bit_length()

        def level(place: int) -> tuple[int, int, int]:
            row, column = divmod(place, grid.columns)
            step = spacing
            while row % step or column % step:
                step //= 2
            on_rows, on_columns = row % (2 * step) == 0, column % (2 * step) == 0
            return -step, on_rows + on_columns, on_rows

        return sorted(range(grid.tokens), key=level)


@dataclass(frozen=True)
class Dilated(Placed):
    """Four grids of every other row and column, one after the other, row by row inside each.

    No two tokens of a grid are neighbours, and all but those of the first have neighbours that
    stand. So with four groups per frame each grid is predicted at once, at little cost in
    likelihood: a frame of any even number of rows and columns is made in four evaluations. (With an
    odd number some groups hold neighbours, too.) The slots of 4x4 tokens:

         0  4  1  5
         8 12  9 13
         2  6  3  7
        10 14 11 15
    """

    def listed(self, grid: Grid) -> Sequence[int]:
        def shift(place: int) -> tuple[int, int]:
            row, column = divmod(place, grid.columns)
            return row % 2, column % 2

        return sorted(range(grid.tokens), key=shift)


ORDERS = ("raster", "coarse_to_fine", "dilated")
"""Names of orders in a model's configuration."""


def order_of(name: str, index: int) -> TokenOrder:
    """The order of block `index`, counted from the data: every other block begins at the other
    end, the first one at the end of the frame."""
    if name == "raster":
        return Raster() if index % 2 else Reversed()
    if name == "coarse_to_fine":
        return CoarseToFine(turned=index % 2 == 0)
    if name == "dilated":
        return Dilated(turned=index % 2 == 0)
    raise ValueError(f"order {name!r} is not known: choose from {', '.join(ORDERS)}")
