"""Pictures that travel inside the page: small moving previews as WebP, so that they need no file.

A preview of a video that is being made begins with the newest frames and goes on with the others,
as a loop does: whoever watches sees what is new first, and the order is that of the video.
"""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from starflow_v.data.video_io import Frame, Frames

LONGEST = 64
"""Frames of a preview, the newest ones."""
WIDEST = 480
"""Pixels; the page scales smaller pictures up."""
SHARP = 160
"""Pictures lower than so many pixels are kept without loss."""
GAP = 4
"""White columns between two pictures."""


def moving(frames: Frames, fps: float, *, newest: int = 0) -> str:
    """A data URI of an endless animation.

    Args:
        frames: (F,H,W,3).
        fps: frames per second.
        newest: how many of the last frames are shown first.
    """
    shown = np.roll(frames[-LONGEST:], newest, axis=0)
    images = [Image.fromarray(frame) for frame in shown]
    small = images[0].height < SHARP
    file = BytesIO()
    images[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / fps),
        loop=0,
        lossless=small,
        quality=20 if small else 85,  # without loss, quality is how hard it is tried
        method=1,
    )
    return _uri("webp", file)


def still(frame: Frame) -> str:
    """A data URI of one picture (H,W,3)."""
    file = BytesIO()
    Image.fromarray(frame).save(file, "WEBP", quality=85, method=1)
    return _uri("webp", file)


def beside(given: Frames, made: Frames, *, first: int = 0) -> Frames:
    """What was given, then what was made, (F,H,2W+4,3).

    Args:
        given: (G,H,W,3); its last frame stands for later ones.
        made: (F,H,W,3).
        first: the place of the first of them in the video.
    """
    places = np.minimum(first + np.arange(len(made)), len(given) - 1)
    gap = np.full((*made.shape[:2], GAP, 3), 255, np.uint8)
    return np.concatenate((given[places], gap, made), axis=2)


def small(frames: Frames) -> Frames:
    """Frames (F,H,W,3) no wider than a preview."""
    _, height, width, _ = frames.shape
    if width <= WIDEST:
        return frames
    size = WIDEST, max(1, round(height * WIDEST / width))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])


def _uri(kind: str, file: BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
