"""What a pipeline returns."""

from __future__ import annotations

from dataclasses import dataclass

from diffusers.utils import BaseOutput

from starflow_v.flow.solver import Cost


@dataclass
class StarFlowVPipelineOutput(BaseOutput):
    """What a pipeline returns.

    Args:
        frames: "np": (B, F, H, W, 3) float32 in [0, 1]; "pt": (B, F, 3, H, W); "pil": a list of
            images for each video; "latent": normalised clean latents (B, c, T, h, w).
        deep: what solving the deep block took.
        shallow: what solving the shallow blocks took.
    """

    frames: object
    deep: Cost | None = None
    shallow: Cost | None = None
