"""Images and clips from whatever a caller has, several at once, at the size of the model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from starflow_v.data.video_io import fit, probe_video, read_image, read_video
from starflow_v.data.video_io.frames import Frame, Frames
from starflow_v.data.video_io.safety import PathLike

Array: TypeAlias = npt.NDArray[np.generic]

Picture: TypeAlias = PathLike | Image.Image | Array | Tensor
"""A file, a PIL image, an array (H,W,3), a tensor (3,H,W); see `video_io.read_image`."""

Pictures: TypeAlias = Picture | Sequence[Picture]
"""One picture or several: a list, an array (K,H,W,3), a tensor (K,3,H,W)."""

Clip: TypeAlias = PathLike | Sequence[Picture] | Array | Tensor
"""A file, a list of pictures, an array (F,H,W,3), a tensor (F,3,H,W)."""

Clips: TypeAlias = Clip | Sequence[Clip]
"""One clip or several: a list of files or of clips, an array or a tensor of one more axis."""


def read_pictures(pictures: Pictures, *, name: str) -> list[Frame]:
    """All of them, uint8 (H,W,3) each, at their own sizes; `name` is that of the argument."""
    if isinstance(pictures, Tensor | np.ndarray) and pictures.ndim == 4:
        pictures = list(pictures)
    several = pictures if isinstance(pictures, list | tuple) else [pictures]
    if not several:
        raise ValueError(f"{name} is an empty list: give at least one picture")
    return [read_image(_check_picture(picture, name)) for picture in several]


def list_clips(clips: Clips, *, name: str) -> list[Clip]:
    """The clips one by one, not read yet; `name` is that of the argument."""
    listed = _listed_clips(clips, name)
    if any(not isinstance(clip, str | os.PathLike) and len(clip) == 0 for clip in listed):
        raise ValueError(f"{name} has a clip without frames: give at least one frame")
    return listed


def _listed_clips(clips: Clips, name: str) -> list[Clip]:
    if isinstance(clips, Tensor | np.ndarray):
        if clips.ndim not in (4, 5):
            raise ValueError(
                f"{name} has the shape {tuple(clips.shape)}: expected a clip, an array (F,H,W,3) "
                "or a tensor (F,3,H,W), or several with one more axis in front"
            )
        return list(clips) if clips.ndim == 5 else [clips]
    if not isinstance(clips, list | tuple):
        if not isinstance(clips, str | os.PathLike):
            raise ValueError(f"{name} is {type(clips).__name__}: give a file, frames or an array")
        return [clips]
    if not clips:
        raise ValueError(f"{name} is an empty list: give a clip, or at least one frame")
    return list(clips) if _is_clip(clips[0]) else [clips]


def clip_size(clip: Clip) -> tuple[int, int]:
    """Height and width of its pictures; only what tells them is read."""
    if isinstance(clip, str | os.PathLike):
        info = probe_video(clip)
        return info.height, info.width
    height, width, _ = read_image(next(iter(clip))).shape
    return height, width


def read_clip(
    clip: Clip, *, frame_rate: float, height: int, width: int, num_frames: int | None = None
) -> Frames:
    """Frames (F,height,width,3), uint8, resized to cover that size and cropped.

    Args:
        clip: a file is read at the wanted rate; frames that are given have it already.
        frame_rate: frames per second.
        height: pixels.
        width: pixels.
        num_frames: at most so many; `None`: all.
    """
    if isinstance(clip, str | os.PathLike):
        size = height, width
        return read_video(clip, fps=frame_rate, size=size, num_frames=num_frames).frames
    pictures = islice(clip, num_frames)
    return np.stack([fit(read_image(picture), height, width) for picture in pictures])


def read_clips(
    clips: Sequence[Clip],
    *,
    frame_rate: float,
    height: int,
    width: int,
    factor: int,
    num_frames: int | None = None,
) -> tuple[list[Frames], int]:
    """Clips of one length, `factor`·k + 1, and how many copies of the first frame make it so.

    The other arguments are those of `read_clip`.
    """
    frames = [
        read_clip(clip, frame_rate=frame_rate, height=height, width=width, num_frames=num_frames)
        for clip in clips
    ]
    lengths = sorted({len(clip) for clip in frames})
    if len(lengths) > 1:
        raise ValueError(
            f"clips of {', '.join(map(str, lengths))} frames at {frame_rate} frames per second "
            "were given: those of one call must be equally long"
        )
    if lengths[0] < 2:
        raise ValueError(
            f"the clip has {lengths[0]} frame at {frame_rate} frames per second: give at least 2, "
            "or animate it as an image"
        )
    copies = (1 - lengths[0]) % factor
    return [np.concatenate([clip[:1]] * copies + [clip]) for clip in frames], copies


def _check_picture(picture: object, name: str) -> Picture:
    if not isinstance(picture, str | os.PathLike | Image.Image | np.ndarray | torch.Tensor):
        raise ValueError(
            f"{name} is {type(picture).__name__}: give a file, a PIL image, an array or a tensor"
        )
    return picture


def _is_clip(entry: object) -> bool:
    """Whether an entry of a list is a clip of its own, rather than one picture of a clip."""
    if isinstance(entry, Tensor | np.ndarray):
        return entry.ndim == 4
    return isinstance(entry, str | os.PathLike | list | tuple)
