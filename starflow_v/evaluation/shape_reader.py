"""Which shape a soft mask shows: each known shape is laid over it, and the best fit wins.

A template of shape k at centre m and radius r covers t_k(m,r). Beginning at the mask's moments, m
and r move in ever smaller steps to where the mean |alpha - t_k| over the picture is least.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.scenes.rendering import SIGNED_DISTANCES

Array = NDArray[np.float32]

AREAS = {"circle": np.pi, "square": 4 * 0.89**2, "triangle": 2.37, "star": 2.47}
"""Shape -> area at radius 1."""
SOFTNESS = 1.5
"""Width of a template's edge in pixels: about that of a decoded clip."""

HOLLOW = 0.06
"""Empty share of the filled shape that makes an outline: small, a star's is mostly line."""


@dataclass(frozen=True)
class Fit:
    """The best template for a stack of masks."""

    shape: str
    radius: float
    """In pixels, the median over the frames."""
    error: float
    """Area of disagreement as a share of the mask's area."""


def fit_shape(alpha: Array, *, frames: int = 5) -> Fit:
    """The shape in masks alpha (F,H,W), from the frames in which most of the object is seen."""
    chosen = _windows(fill_holes(alpha[_clearest(alpha, frames)]))
    fits = [_fit_template(chosen, shape) for shape in SIGNED_DISTANCES]
    return min(fits, key=lambda fit: fit.error)


def _clearest(alpha: Array, count: int) -> NDArray[np.intp]:
    """The frames with the largest area, of which those count less that touch the border."""
    area = alpha.sum((1, 2))
    border = sum(alpha[:, edge].sum(1) + alpha[:, :, edge].sum(1) for edge in (0, -1))
    order = np.argsort(-area / (1 + border))[:count]
    return order[area[order] > 0.25 * area[order].max()]


def _windows(alpha: Array, *, margin: int = 8) -> Array:
    """Around the object in each mask (K,H,W) the same number of rows and columns (K,h,w).

    Windows end at the picture's border: what would lie beyond it is not held against a template.
    """
    rows, row_count = _spans(alpha.max(2) > 0.1, margin)
    columns, column_count = _spans(alpha.max(1) > 0.1, margin)
    frame = np.arange(len(alpha))[:, None, None]
    row = rows[:, None, None] + np.arange(row_count)[:, None]
    return alpha[frame, row, columns[:, None, None] + np.arange(column_count)]


def _spans(occupied: NDArray[np.bool_], margin: int) -> tuple[NDArray[np.intp], int]:
    """Starts (K,) and common length of the stretches that hold all that is True in lines (K,L)."""
    length = occupied.shape[1]
    first, last = occupied.argmax(1), length - 1 - occupied[:, ::-1].argmax(1)
    count = min(int((last - first).max()) + 1 + 2 * margin, length)
    return np.clip(first - margin, 0, length - count), count


def fill_holes(alpha: Array) -> Array:
    """Masks (F,H,W) without their holes: what has the object on all four sides belongs to it."""
    sides = [
        np.flip(np.maximum.accumulate(np.flip(alpha, axis), axis), axis) if back
        else np.maximum.accumulate(alpha, axis)
        for axis in (1, 2)
        for back in (False, True)
    ]  # fmt: skip
    return np.minimum.reduce(sides)


def is_outlined(alpha: Array) -> bool:
    """Whether masks (F,H,W) show a contour with nothing in it, rather than a filled shape."""
    filled = fill_holes(alpha) > 0.5
    hollow = filled & (alpha < 0.5)
    return bool(hollow.sum() > HOLLOW * filled.sum())


def _fit_template(alpha: Array, shape: str) -> Fit:
    """Coordinate descent over (x, y, radius) of every frame at once, with steps that halve."""
    area = alpha.sum((1, 2))
    height, width = alpha.shape[1:]
    best = np.stack(
        [
            alpha.sum(1) @ (np.arange(width) + 0.5) / area,
            alpha.sum(2) @ (np.arange(height) + 0.5) / area,
            np.sqrt(area / AREAS[shape]),
        ],
        axis=-1,
    )  # (F,3)
    errors = _mismatch(alpha, shape, best)
    for step, axis, sign in itertools.product((3.0, 1.5, 0.7, 0.35), (2, 0, 1), (1, -1)):
        trial = best.copy()
        trial[:, axis] = np.maximum(trial[:, axis] + sign * step, 2.0 if axis == 2 else -np.inf)
        trial_errors = _mismatch(alpha, shape, trial)
        better = trial_errors < errors
        best[better], errors[better] = trial[better], trial_errors[better]
    return Fit(shape, float(np.median(best[:, 2])), float(np.mean(errors / area)))


def _mismatch(alpha: Array, shape: str, parameters: NDArray[np.float64]) -> NDArray[np.float32]:
    """Area of disagreement (F,) between the masks and templates at (x, y, radius)."""
    height, width = alpha.shape[1:]
    x0, y0, radius = parameters.astype(np.float32).T[:, :, None, None]
    x = (np.arange(width, dtype=np.float32) + 0.5 - x0) / radius
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - y0) / radius
    distance = SIGNED_DISTANCES[shape](*np.broadcast_arrays(x, y)) * radius
    return np.abs(alpha - np.clip(0.5 - distance / SOFTNESS, 0, 1)).sum((1, 2))
