"""Latents <-> tokens: a token is a square patch of the latents of one frame."""

from __future__ import annotations

from typing import NamedTuple

from einops import rearrange
from torch import Tensor


class Grid(NamedTuple):
    """The tokens of a frame."""

    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """N, tokens per frame."""
        return self.rows * self.columns

    def group(self, groups: int | None) -> int:
        """Tokens predicted together if a frame has that many groups; `None`: one token each."""
        if groups is None:
            return 1
        if self.tokens % groups:
            raise ValueError(
                f"{groups} groups per frame do not divide the {self.rows}x{self.columns} = "
                f"{self.tokens} tokens of a frame: choose a size whose token count they divide"
            )
        return self.tokens // groups


def patch_grid(latents: Tensor, channels: int, patch: int) -> Grid:
    """The grid of latents (B, T, c, h, w), whose shape is checked here."""
    if latents.ndim != 5 or latents.shape[2] != channels or 0 in latents.shape:
        raise ValueError(
            f"latents of shape {tuple(latents.shape)} do not fit this model: expected "
            f"(batch, frames, {channels}, height, width)"
        )
    height, width = latents.shape[-2:]
    if height % patch or width % patch:
        raise ValueError(
            f"latents of {height}x{width} cannot be cut into patches of {patch}x{patch}: give "
            f"sizes that are multiples of {patch}"
        )
    return Grid(height // patch, width // patch)


def patchify(latents: Tensor, patch: int) -> Tensor:
    """(B, T, c, h, w) -> (B, T, N, C), patches laid out as (row, column, channel)."""
    return rearrange(latents, "b t c (h p) (w q) -> b t (h w) (p q c)", p=patch, q=patch)


def unpatchify(tokens: Tensor, grid: Grid, patch: int) -> Tensor:
    """The inverse of `patchify`."""
    pattern = "b t (h w) (p q c) -> b t c (h p) (w q)"
    return rearrange(tokens, pattern, h=grid.rows, w=grid.columns, p=patch, q=patch)
