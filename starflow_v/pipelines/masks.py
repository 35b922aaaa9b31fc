"""Masks: which part of a clip is to be made, white, and which stays, black."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from starflow_v.data.video_io import fit, is_still, read_image, read_video
from starflow_v.data.video_io.frames import Frame
from starflow_v.data.video_io.safety import MediaError, PathLike
from starflow_v.pipelines.media import Array, Picture

Mask: TypeAlias = PathLike | Image.Image | Array | Tensor | Sequence[Picture]
"""A file, a picture, an array (H,W) or (H,W,C), a tensor (H,W) or (C,H,W), which serve all frames;
or a list of pictures, an array (F,H,W) or (F,H,W,C), a tensor (F,H,W) or (F,C,H,W)."""

CHANNELS = (1, 3, 4)


def read_mask(
    mask: Mask,
    *,
    size: tuple[int, int],
    num_frames: int,
    frame_rate: float,
    height: int,
    width: int,
) -> NDArray[np.bool_]:
    """(F,height,width), True where the mask is white, that is brighter than half.

    Args:
        mask: of a picture or of a clip as long as the one to be edited.
        size: (height, width) of the clip as it was given; the mask must have it.
        num_frames: F; a longer mask is cut.
        frame_rate: that a file is read at.
        height: pixels; the mask is resized and cropped as the clip is.
        width: pixels.
    """
    pictures = _pictures(mask, frame_rate=frame_rate, num_frames=num_frames)
    _check_size(pictures, size)
    if len(pictures) not in (1, num_frames):
        raise ValueError(
            f"the mask has {len(pictures)} frames and the clip {num_frames} at {frame_rate} frames "
            "per second: give one for each frame, or a single picture for all"
        )
    levels = np.stack([fit(picture, height, width) for picture in pictures])
    white = levels.mean(axis=-1) > 127.5
    if not white.any():
        raise ValueError("the mask is black all over: what is to be made is white (255, or True)")
    return np.broadcast_to(white, (num_frames, height, width)).copy()


def check_mask(mask: PathLike, *, size: tuple[int, int]) -> None:
    """Refuses, without the clip's frames, a file that `read_mask` would refuse.

    Args:
        mask: a file.
        size: (height, width) of the clip as it was given.
    """
    if is_still(mask):
        read_mask(mask, size=size, num_frames=1, frame_rate=1, height=size[0], width=size[1])
    else:
        _check_size(_pictures(mask, frame_rate=1, num_frames=1), size)


def _check_size(pictures: list[Frame], size: tuple[int, int]) -> None:
    found = {picture.shape[:2] for picture in pictures} - {size}
    if found:
        rows, columns = found.pop()
        raise ValueError(
            f"the mask has {columns}x{rows} pixels and the clip {size[1]}x{size[0]}: give a mask "
            "of the clip's own size"
        )


def _pictures(mask: Mask, *, frame_rate: float, num_frames: int) -> list[Frame]:
    """Its pictures, one or several, uint8 (H,W,3) each."""
    if isinstance(mask, str | os.PathLike):
        if is_still(mask):
            return [_shown(mask)]
        try:
            return list(read_video(mask, fps=frame_rate, num_frames=num_frames).frames)
        except MediaError as error:
            raise MediaError(f"the mask, which is no still picture: {error}") from error
    if isinstance(mask, Image.Image):
        return [_shown(mask)]
    if isinstance(mask, np.ndarray | Tensor):
        several = [mask] if _is_picture(mask) else list(mask)
        return [_read(picture) for picture in several[:num_frames]]
    if isinstance(mask, list | tuple) and mask:
        return [_read(picture) for picture in mask[:num_frames]]
    raise ValueError(
        f"mask is {type(mask).__name__}: give a file, a picture, an array, a tensor, or a list of "
        "pictures"
    )


def _shown(picture: Picture) -> Frame:
    """What is transparent in a mask is not white."""
    return read_image(picture, ground="black")


def _is_picture(mask: Array | Tensor) -> bool:
    """Whether it is a single one: (H,W), or with channels, the last axis or a tensor's first."""
    channels = mask.shape[0 if isinstance(mask, Tensor) else -1] if mask.ndim else 0
    return mask.ndim <= 2 or (mask.ndim == 3 and channels in CHANNELS)


def _read(picture: Picture) -> Frame:
    if isinstance(picture, Tensor):
        bits = picture.to(torch.uint8) * 255 if picture.dtype == torch.bool else picture
        return _shown(bits[None] if bits.ndim == 2 else bits)
    if isinstance(picture, np.ndarray) and picture.dtype == np.bool_:
        return _shown(picture.astype(np.uint8) * 255)
    return _shown(picture)
