"""In which order a block runs through the tokens of a frame. Frames are never reordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class TokenOrder(Protocol):
    """A permutation of the tokens of a frame, between raster order and a block's slots."""

    def to_slots(self, tokens: Tensor) -> Tensor:
        """(..., N, C) in raster order -> in the order of the block."""

    def to_raster(self, tokens: Tensor) -> Tensor:
        """The inverse of `to_slots`."""


@dataclass(frozen=True)
class Raster:
    """Row by row from the top left."""

    def to_slots(self, tokens: Tensor) -> Tensor:
        return tokens

    def to_raster(self, tokens: Tensor) -> Tensor:
        return tokens


@dataclass(frozen=True)
class Reversed:
    """Row by row from the bottom right."""

    def to_slots(self, tokens: Tensor) -> Tensor:
        return tokens.flip(-2)

    def to_raster(self, tokens: Tensor) -> Tensor:
        return tokens.flip(-2)


def alternating(index: int) -> TokenOrder:
    """The order of block `index`, counted from the data: reversed, raster, reversed, ..."""
    return Raster() if index % 2 else Reversed()
