"""Frames of any size, brought to the size that a model knows."""

import numpy as np
from PIL import Image

from starflow_v.data.video_io.frames import Frame, Frames


def fit(frames: Frames, height: int, width: int) -> Frames:
    """Resize so that the picture covers (height, width), and crop what juts out, centred.

    The aspect ratio is kept; shrinking is antialiased. `frames` is a clip (F,H,W,3), which becomes
    (F,height,width,3), or one picture (H,W,3). Pictures of that size already are returned as they
    are.

    >>> fit(np.zeros((5, 90, 160, 3), np.uint8), 64, 64).shape
    (5, 64, 64, 3)
    """
    if height < 1 or width < 1:
        raise ValueError(f"fit: got a size of {height}x{width}; both sides must be at least 1.")
    if frames.shape[-3:-1] == (height, width):
        return frames
    if frames.ndim == 3:
        return _fit_picture(frames, height, width)
    return np.stack([_fit_picture(frame, height, width) for frame in frames])


def _fit_picture(picture: Frame, height: int, width: int) -> Frame:
    rows, columns, _ = picture.shape
    scale = min(rows / height, columns / width)  # source pixels for one of ours
    crop_height, crop_width = height * scale, width * scale
    top, left = (rows - crop_height) / 2, (columns - crop_width) / 2
    box = (left, top, left + crop_width, top + crop_height)
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))
