"""Rotary positions over three axes: row, column and time.

A head of width d has d/2 pairs of features. The last 8 pairs turn with time, the others are shared
evenly by row and column (a head of 16 has none for them: it tells frames apart, not places):

    angle = [row · f_space, column · f_space, time · f_time],   f_n(k) = 10000^(-k / n).

Rows and columns are divided by the side of a square of the same area and multiplied by the
`reference` size R, so that a model meets the same range of positions at every resolution.
Time is the index of the frame in the window; text has row = column = 0 and time l/L · R.
Positions belong to *slots* of the sequence: a block that reorders its tokens keeps its positions.
A slot reads one token and predicts a later one. Where their places are told apart, queries turn
with the place of the token that is predicted, keys with that of the token that is read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from starflow_v.nn.layers import widen

TIME_PAIRS = 8
BASE = 10_000.0


class Rotary(NamedTuple):
    """exp(i · angle) of each slot's pairs, (S, d/2), complex; `keys`: those of keys, if others.

    Logits of attention are products of turned queries and turned keys: `temperature`, which the
    queries are divided by, divides them all.
    """

    turn: Tensor
    keys: Tensor | None = None
    temperature: float = 1.0

    def slots(self, start: int, stop: int) -> Rotary:
        """The table of the slots start .. stop-1."""
        keys = None if self.keys is None else self.keys[start:stop]
        return Rotary(self.turn[start:stop], keys, self.temperature)

    def rotate(self, queries: Tensor) -> Tensor:
        """Turn each interleaved pair (2k, 2k+1) of x (B, heads, S, d) by its slot's angle."""
        turned = _rotate(queries, self.turn)
        return turned if self.temperature == 1 else turned / self.temperature

    def rotate_keys(self, keys: Tensor) -> Tensor:
        """The same for keys."""
        return _rotate(keys, self.turn if self.keys is None else self.keys)


def _rotate(x: Tensor, turn: Tensor) -> Tensor:
    """A pair is a complex number: one product, in float32 or better."""
    pairs = torch.view_as_complex(widen(x).unflatten(-1, (-1, 2)))
    turned = torch.view_as_real(pairs * turn.to(pairs.dtype))
    return turned.flatten(-2).to(x.dtype)


def video_positions(
    frames: int, rows: int, columns: int, *, reference: float, times: Tensor | None = None
) -> Tensor:
    """Positions (frames·rows·columns, 3) of raster-ordered slots: row, column, time.

    `times`: the index of each frame, (frames,), where they do not follow each other from 0 on.
    """
    side = (rows * columns) ** 0.5
    time = (torch.arange(frames) if times is None else times.cpu()).float()
    row = torch.arange(rows, dtype=torch.float32) / side * reference
    column = torch.arange(columns, dtype=torch.float32) / side * reference
    grid = torch.meshgrid(time, row, column, indexing="ij")
    return torch.stack((grid[1], grid[2], grid[0]), dim=-1).flatten(0, 2)


def text_positions(length: int, *, reference: float) -> Tensor:
    """Positions (length, 3) of text slots: row = column = 0, time l/L · R."""
    positions = torch.zeros(length, 3)
    positions[:, 2] = torch.arange(length) / max(length, 1) * reference
    return positions


def space_pairs(head_dim: int) -> int:
    """How many pairs of a head turn with the row, and how many with the column."""
    pairs = (head_dim // 2 - TIME_PAIRS) // 2
    if pairs < 0 or head_dim % 4:
        raise ValueError(
            f"head_dim={head_dim} cannot hold rotary positions: it must be a multiple of 4, "
            f"and at least {2 * TIME_PAIRS}"
        )
    return pairs


def rotary(positions: Tensor, head_dim: int, keys: Tensor | None = None) -> Rotary:
    """The table of the given positions (S, 3) for heads of width `head_dim`.

    `keys`: positions (S, 3) of the tokens that the slots read, where queries have others.
    """
    return Rotary(_turn(positions, head_dim), None if keys is None else _turn(keys, head_dim))


def _turn(positions: Tensor, head_dim: int) -> Tensor:
    row, column, time = positions.unbind(-1)
    space = _frequencies(space_pairs(head_dim), positions.device)
    angles = torch.cat(
        (
            torch.outer(row, space),
            torch.outer(column, space),
            torch.outer(time, _frequencies(TIME_PAIRS, positions.device)),
        ),
        dim=-1,
    )
    return torch.polar(torch.ones_like(angles), angles)


def _frequencies(count: int, device: torch.device) -> Tensor:
    return BASE ** (-torch.arange(count, dtype=torch.float32, device=device) / count)
