"""The rotary positions of a block's slots."""

from __future__ import annotations

import torch
from torch import Tensor

from starflow_v.flow.order import TokenOrder
from starflow_v.flow.patches import Grid
from starflow_v.nn.rope import Rotary, rotary, text_positions, video_positions


def slot_positions(
    order: TokenOrder,
    grid: Grid,
    *,
    head_dim: int,
    reference: float,
    device: torch.device,
    frames: int = 1,
    group: int = 1,
    text: int = 0,
    times: Tensor | None = None,
) -> Rotary:
    """Of `text` words and of all slots of `frames` frames, (text + frames·N), at `times` (T,).

    An order that tells places gives queries the place of the token that the slot predicts, and keys
    that of the token it reads: the one a group earlier (in the first group, which reads the start
    token, its own).
    """
    slots = video_positions(frames, *grid, reference=reference, times=times)
    words = text_positions(text, reference=reference)
    places = order.places(grid)
    if places is None:
        return rotary(torch.cat((words, slots)).to(device), head_dim)
    predicted = slots.unflatten(0, (frames, grid.tokens))[:, places].flatten(0, 1)
    read = torch.cat((predicted[:group], predicted[: len(predicted) - group]))
    queries, keys = (torch.cat((words, it)).to(device) for it in (predicted, read))
    return rotary(queries, head_dim, keys)
