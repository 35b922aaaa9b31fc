"""Pixels at the border of files and frames inside: uint8 (F,H,W,3) <-> (B,F,3,H,W) in [-1,1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

Clip = NDArray[np.uint8]
"""(F,H,W,3)."""

HIDDEN: Final = 128
"""Gray level, 0 to 255, of what a mask hides."""


def to_frames(clips: Sequence[Clip]) -> Tensor:
    """Clips of one size -> frames (B,F,3,H,W) in [-1,1]."""
    pixels = torch.from_numpy(np.stack(clips))
    return rearrange(pixels, "b f h w c -> b f c h w").float() / 127.5 - 1


def to_clips(frames: Tensor) -> NDArray[np.uint8]:
    """Frames (B,F,3,H,W) in [-1,1] -> clips (B,F,H,W,3)."""
    pixels = ((frames + 1) * 127.5).round().to(torch.uint8)
    return rearrange(pixels, "b f c h w -> b f h w c").cpu().numpy()


def from_unit(frames: NDArray[np.floating]) -> NDArray[np.uint8]:
    """What pipelines return, floats in [0,1] of any shape -> uint8."""
    return (frames * 255).round().astype(np.uint8)


def hide(frames: Clip, mask: NDArray[np.bool_]) -> Clip:
    """The clip (F,H,W,3) with gray where the mask, (H,W) or (F,H,W), is True."""
    return np.where(mask[..., None], np.uint8(HIDDEN), frames)
