"""Clips as one still picture, a row each: what a README can show."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont

from starflow_v.data.video_io import Frame, Frames

PAPER, INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(
    clips: Frames | Sequence[Frames],
    labels: Sequence[str] = (),
    *,
    columns: int = 6,
    scale: int = 1,
    gap: int = 4,
    font_size: int = 13,
) -> Frame:
    """Evenly spaced frames of each clip, from its first to its last, side by side.

    Args:
        clips: one clip (F,H,W,3) or several of one picture size; the lengths may differ.
        labels: a line above each row; none, or one a clip.
        columns: frames shown of each clip; a shorter clip shows all it has.
        scale: how many times larger each pixel is drawn.
        gap: white pixels around each frame.
        font_size: height of the labels in pixels.

    Returns:
        A picture (H',W',3).
    """
    rows = [clips] if isinstance(clips, np.ndarray) and clips.ndim == 4 else list(clips)
    if not rows or len({row.shape[1:] for row in rows}) != 1:
        sizes = sorted({row.shape[1:] for row in rows})
        raise ValueError(f"contact_sheet: got clips of sizes {sizes}, expected one size; use fit.")
    if labels and len(labels) != len(rows):
        raise ValueError(f"contact_sheet: got {len(labels)} labels for {len(rows)} clips.")
    strips = [_strip(row, columns, scale, gap) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    pieces: list[Frame] = []
    for index, strip in enumerate(strips):
        if labels:
            pieces.append(_label(labels[index], width, gap, font_size))
        pieces.append(_widen(strip, width))
    return np.concatenate(pieces)


def _strip(clip: Frames, columns: int, scale: int, gap: int) -> Frame:
    chosen = np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)
    frames = clip[chosen].repeat(scale, axis=1).repeat(scale, axis=2)
    margin = ((0, 0), (gap, gap), (gap, gap), (0, 0))
    framed = np.pad(frames, margin, constant_values=PAPER[0])
    return rearrange(framed, "f h w c -> h (f w) c")


def _widen(strip: Frame, width: int) -> Frame:
    missing = ((0, 0), (0, width - strip.shape[1]), (0, 0))
    return np.pad(strip, missing, constant_values=PAPER[0])


def _label(text: str, width: int, gap: int, size: int) -> Frame:
    """A line of text, cut with dots where it is wider than the sheet."""
    font = ImageFont.load_default(size)
    shown = text
    while len(shown) > 1 and font.getlength(shown) > width - 2 * gap:
        shown = shown.rstrip("…")[:-1] + "…"
    image = Image.new("RGB", (width, size + 2 * gap), PAPER)
    ImageDraw.Draw(image).text((gap, gap), shown, fill=INK, font=font)
    return np.asarray(image)
