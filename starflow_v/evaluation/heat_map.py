"""Heat maps: where in a video something is large, painted over its frames."""

from __future__ import annotations

import numpy as np
from einops import repeat
from numpy.typing import NDArray

FRAMES_PER_LATENT = 4
LOW, MIDDLE, HIGH = (30, 60, 200), (245, 245, 245), (220, 30, 20)
"""Colours of little, of the middle and of much."""
GRAY = np.array([0.299, 0.587, 0.114])
"""Brightness of red, green and blue (Rec. 601)."""


def heat_map(
    frames: NDArray[np.uint8],
    values: NDArray[np.floating],
    *,
    opacity: float = 0.55,
    span: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Frames in gray with a colour over each token, from blue (little) through white to red (much).

    The first latent frame lies over the first frame, each later one over four.

    Args:
        frames: a clip (F,H,W,3).
        values: one number a token, (T, rows, columns), such as `Score.token_bits`.
        opacity: of the colours, 0 to 1.
        span: the values that are painted blue and red; `None`: 2 in 100 of them lie beyond either.

    Returns:
        (F,H,W,3).
    """
    count, height, width, _ = frames.shape
    latents, rows, columns = values.shape
    if height % rows or width % columns or count != 1 + FRAMES_PER_LATENT * (latents - 1):
        raise ValueError(
            f"{latents}x{rows}x{columns} values do not fit {count} frames of {height}x{width}: "
            f"expected 1 + {FRAMES_PER_LATENT}(T-1) frames, and sizes that the rows and columns of "
            "tokens divide"
        )
    low, high = np.percentile(values, (2, 98)) if span is None else span
    level = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    size = {"p": height // rows, "q": width // columns}
    colors = repeat(_paint(level), "t rows columns c -> t (rows p) (columns q) c", **size)
    over = colors[latent_of_frame(count)]
    gray = frames @ GRAY
    return np.round((1 - opacity) * gray[..., None] + opacity * over).astype(np.uint8)


def latent_of_frame(count: int) -> NDArray[np.intp]:
    """The latent frame of each of so many pixel frames: 0, then 1 1 1 1, 2 2 2 2, ..."""
    return (np.arange(count) + FRAMES_PER_LATENT - 1) // FRAMES_PER_LATENT


def _paint(level: NDArray[np.floating]) -> NDArray[np.floating]:
    """Levels in [0, 1] -> colours, one more axis."""
    stops = np.array([LOW, MIDDLE, HIGH], np.float64)
    channels = [np.interp(level, (0, 0.5, 1), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1)
