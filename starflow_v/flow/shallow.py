"""The local half of the flow, x <-> u: shallow blocks rewrite each frame by itself, without text.

All frames are folded into the batch, so they are worked on side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn

from starflow_v.flow.block import FlowBlock
from starflow_v.flow.context_noise import noisy_context
from starflow_v.flow.order import TokenOrder
from starflow_v.flow.patches import Grid
from starflow_v.flow.positions import slot_positions
from starflow_v.flow.predictor import BlockPredictor
from starflow_v.flow.solver import Cost, Solver, solve_at
from starflow_v.nn.cache import AS_THEY_COME
from starflow_v.nn.rope import Rotary
from starflow_v.nn.storage import CacheStorage


class ShallowFlow(nn.Module):
    """Blocks that see one frame each.

    Args:
        blocks: from the data towards the noise.
        orders: in which order each block runs through the tokens of a frame.
        groups: groups of tokens per frame (at least 2), or `None`: token by token.
        reference: R of the rotary positions.
    """

    def __init__(
        self,
        blocks: Sequence[FlowBlock],
        orders: Sequence[TokenOrder],
        *,
        groups: int | None,
        reference: float,
    ) -> None:
        super().__init__()
        if groups is not None and groups < 2:
            raise ValueError(
                f"shallow_groups={groups}: a shallow block sees one frame, so it needs at least 2 "
                "groups per frame (or None: token by token)"
            )
        self.blocks = nn.ModuleList(blocks)
        self.orders = tuple(orders)
        self.groups = groups
        self.reference = reference
        self.storage: CacheStorage = AS_THEY_COME

    def forward(
        self,
        x: Tensor,
        grid: Grid,
        made: list[Tensor] | None = None,
        noises: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        """x (B, T, N, C) -> u (B, T, N, C) and log |du/dx| (B, T, N), both in raster order.

        What each block makes, (B, T, N, C), is appended to `made`; the last one is u. `noises`:
        context noise of each block, as many.
        """
        tokens = rearrange(x, "b t n c -> (b t) n c")
        log_det = tokens.new_zeros(tokens.shape[:2])
        group = grid.group(self.groups)
        for (block, order), noise in zip_longest(self._steps(), noises):
            slots = order.to_slots(tokens, grid)
            read = noisy_context(slots, None if noise is None else noise.flatten(0, 1))
            params = block(
                read[:, : grid.tokens - group],
                self._positions(block, order, grid, tokens.device),
                count=grid.tokens,
                group=group,
            ).to(tokens.device)
            tokens = order.to_raster(params.normalize(slots), grid)
            log_det = log_det + order.to_raster(params.log_det()[..., None], grid)[..., 0]
            if made is not None:
                made.append(tokens.unflatten(0, x.shape[:2]))
        return tokens.unflatten(0, x.shape[:2]), log_det.unflatten(0, x.shape[:2])

    def solve(self, u: Tensor, grid: Grid, solver: Solver) -> tuple[Tensor, Cost]:
        """u (B, T, N, C) -> x (B, T, N, C), and what it cost."""
        frames = u.shape[1]
        tokens = rearrange(u, "b t n c -> (b t) n c")
        cost = Cost()
        for number, (block, order) in reversed(list(enumerate(self._steps()))):
            predictor = BlockPredictor(
                block,
                self._positions(block, order, grid, tokens.device),
                group=grid.group(self.groups),
                storage=self.storage,
            )
            place = f"shallow block {number}, {frames} latent frames side by side"
            slots, spent = solve_at(place, solver, predictor, order.to_slots(tokens, grid))
            tokens = order.to_raster(slots, grid)
            cost += spent
        cost = replace(cost, tokens=cost.tokens * frames)
        return rearrange(tokens, "(b t) n c -> b t n c", t=frames), cost

    def _steps(self) -> list[tuple[FlowBlock, TokenOrder]]:
        """The blocks and their orders, from the data towards the noise."""
        return list(zip(cast(Sequence[FlowBlock], self.blocks), self.orders, strict=True))

    def _positions(
        self, block: FlowBlock, order: TokenOrder, grid: Grid, device: torch.device
    ) -> Rotary:
        return slot_positions(
            order,
            grid,
            head_dim=block.head_dim,
            reference=self.reference,
            device=device,
            group=grid.group(self.groups),
        )
