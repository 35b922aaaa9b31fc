"""The part of a clip that is to be made: as a mask of its own, and as the model sees the clip."""

from __future__ import annotations

import numpy as np

from starflow_v.data.pixels import hide
from starflow_v.data.scenes import Region
from starflow_v.data.video_io import Frame, fit


def as_mask(hole: Region, size: tuple[int, int]) -> Frame:
    """A picture (H,W,3) of a size, white where something is to be made."""
    height, width = size
    white = hole.mask(height=height, width=width)
    return np.repeat(white[..., None], 3, axis=2).astype(np.uint8) * 255


def without(frame: Frame, mask: Frame) -> Frame:
    """A frame (h,w,3) of a clip, gray where a mask (H,W,3), which is fitted to it, is white."""
    height, width, _ = frame.shape
    white = fit(mask, height, width).mean(axis=-1) > 127.5
    return hide(frame[None], white)[0]
