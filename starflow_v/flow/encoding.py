"""A video as the noise that sampling would make it of, guidance and restarts included.

Guidance replaces the affine parameters of the deep block by others, which are an invertible map as
well. Only the noise under *these* gives the video back when it is sampled with guidance; that of
`StarFlowModel.forward` does without.
"""

from __future__ import annotations

import torch
from torch import Tensor

from starflow_v.flow.guidance import Guidance
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import Window


@torch.no_grad()
def noise_of(
    flow: StarFlowModel,
    x: Tensor,
    texts: Texts,
    *,
    guidance: Guidance | None = None,
    window: Window | None = None,
    restart: Texts | None = None,
) -> Tensor:
    """x -> z, (B, T, c, h, w) each: `solve_deep` and `solve_shallow` make x of z again.

    Args:
        flow: the flow.
        x: noisy latents.
        texts: what the model is told.
        guidance: a rule for the deep block.
        window: restarts the deep block when it is full; `None`: it holds all T frames.
        restart: what it is told from the first restart on; `None`: the same as before.
    """
    u, grid, frames = flow.forward_shallow(x), flow.grid(x), x.shape[1]
    predictor = flow.deep.predictor(
        texts.text,
        grid,
        frames=frames if window is None else min(frames, window.frames),
        device=x.device,
        null_text=texts.null_text,
        guidance=guidance,
    )
    again = None if restart is None else restart.for_predictor(guidance)
    z = flow.deep.normalize_frames(u, grid, predictor, window=window, restart_text=again)
    return flow.to_latents(z, grid)
