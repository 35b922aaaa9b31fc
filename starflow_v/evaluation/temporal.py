"""Cheap measures of how a clip behaves in time: no network, nothing to download.

They see pixels, not meaning: compare them between clips of the same captions. Clips are uint8
(F,H,W,3); pixel values are taken as 0 to 1.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from einops import reduce, repeat
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
Array = NDArray[np.float32]

TIE = 1e-6
"""Added to a block's difference for each pixel of way, so that of equal ones the shortest wins."""


def temporal_flicker(frames: Clip) -> float:
    """How much pixels shimmer: the mean of |x_t - (x_{t-1} + x_{t+1}) / 2| over time and pixels.

    0 of a still clip and of a steady fade, 1 of one that alternates between black and white. What
    moves adds to it, so it tells most of clips that should stand still.
    """
    clip = _as_floats(frames, least=3)
    return float(np.abs(clip[1:-1] - (clip[:-2] + clip[2:]) / 2).mean())


def motion_smoothness(frames: Clip, *, block: int = 8, reach: int = 4) -> float:
    """How well each frame lies between its neighbours, from 0 (jerks) to 1 (steady motion).

    Frame t is made of its neighbours as video codecs do: for each block, the way d for which
    x_{t-1}(p - d) and x_{t+1}(p + d) agree best, and their mean. With E the mean error of what is
    made so and D the mean change from frame to frame,

        smoothness = 1 - min(E / D, 1)

    Steady motion by whole pixels, however fast (within `reach`), has E near 0; fractions of a pixel
    cost a little at sharp edges. Going to and fro has E = D; what stands still is as smooth as can
    be.

    Args:
        frames: a clip of at least 3 frames.
        block: side of a block in pixels.
        reach: the longest way between two frames, in pixels along each axis.
    """
    clip = _as_floats(frames, least=3)
    height, width = (side // block * block for side in clip.shape[1:3])
    if not height or not width:
        raise ValueError(
            f"frames of {clip.shape[1]}x{clip.shape[2]} hold no block of {block}x{block}: give a "
            "smaller block"
        )
    clip = clip[:, :height, :width]
    error = change = 0.0
    for before, frame, after in zip(clip[:-2], clip[1:-1], clip[2:], strict=True):
        error += float(np.abs(_between(before, after, block, reach) - frame).mean())
        change += float(np.abs(frame - before).mean() + np.abs(after - frame).mean()) / 2
    return 1.0 if change == 0 else 1 - min(error / change, 1.0)


def drift(frames: Clip, *, share: float = 0.2) -> float:
    """How far colours and contrast wander from a clip's beginning to its end.

    A frame's look is the mean and the standard deviation of each colour channel, six numbers; drift
    is the root mean square of the difference between the looks of the first and of the last
    `share` of the frames. 0 of a clip in which things only move; of a fade from black to white,
    sqrt(1/2) times the difference of the means.
    """
    clip = _as_floats(frames, least=2)
    if not 0 < share <= 0.5:
        raise ValueError(f"share={share}: give a part of the clip, above 0 and at most 0.5")
    looks = np.concatenate((clip.mean((1, 2)), clip.std((1, 2))), axis=1)
    count = max(1, round(share * len(looks)))
    moved = looks[-count:].mean(0) - looks[:count].mean(0)
    return float(np.sqrt(np.square(moved).mean()))


def _between(before: Array, after: Array, block: int, reach: int) -> Array:
    """The frame in the middle, from the best symmetric way of each block, (H,W,3)."""
    height, width, _ = before.shape
    rim = ((reach, reach), (reach, reach), (0, 0))
    left, right = np.pad(before, rim, mode="edge"), np.pad(after, rim, mode="edge")
    size = {"p": block, "q": block}
    least = np.full((height // block, width // block), np.inf, np.float32)
    made = np.zeros_like(before)
    for dy, dx in product(range(-reach, reach + 1), repeat=2):
        from_left = left[reach - dy :, reach - dx :][:height, :width]
        from_right = right[reach + dy :, reach + dx :][:height, :width]
        difference = np.abs(from_left - from_right)
        cost = reduce(difference, "(h p) (w q) c -> h w", "mean", **size)
        cost = cost + np.float32(TIE * (abs(dy) + abs(dx)))
        better = repeat(cost < least, "h w -> (h p) (w q) 1", **size)
        made = np.where(better, (from_left + from_right) / np.float32(2), made)
        least = np.minimum(least, cost)
    return made


def _as_floats(frames: Clip, *, least: int) -> Array:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            f"a clip of shape {frames.shape} and type {frames.dtype}: expected uint8 (F,H,W,3)"
        )
    if len(frames) < least:
        raise ValueError(f"a clip of {len(frames)} frames: this measure needs at least {least}")
    return frames.astype(np.float32) / np.float32(255)
