"""How an object moves, by name, from the positions of its centre."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

MOVED = 0.1
"""Displacement over 17 frames, as a fraction of the side, below which an object is still."""
TURNED = 0.12
"""How far an object goes there and back again, as a fraction of the side, when it bounces."""
DIAGONAL = 0.42
"""Least ratio of the smaller to the larger displacement along a diagonal: tan 22.5 degrees."""


def centres(alpha: NDArray[np.float32]) -> Floats:
    """Centres (K,2) of masks (F,H,W) as fractions (x, y) of the sides, where there is anything."""
    area = alpha.sum((1, 2))
    seen = area > 0.25 * area.max()
    height, width = alpha.shape[1:]
    x = alpha.sum(1) @ (np.arange(width) + 0.5) / width
    y = alpha.sum(2) @ (np.arange(height) + 0.5) / height
    return (np.stack([x, y], axis=-1)[seen]) / area[seen, None]


def read_motion(path: Floats) -> str | None:
    """The name of the motion along centres (K,2); None for fewer than three of them."""
    if len(path) < 3:
        return None
    steps = np.diff(path, axis=0)
    steps[np.abs(steps) > 0.4] = 0  # out on one side, in on the other
    travelled = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    scale = min(1.0, (len(path) - 1) / 16)
    if min(_excursions(travelled[:, 1])) > TURNED or min(_excursions(travelled[:, 0])) > TURNED:
        return "bounces"
    net = travelled[-1]
    largest = np.abs(net).max()
    if largest < MOVED * scale:
        return "still"
    moves = np.abs(net) >= DIAGONAL * largest
    vertical = ("down" if net[1] > 0 else "up") if moves[1] else None
    horizontal = ("right" if net[0] > 0 else "left") if moves[0] else None
    return " and ".join(filter(None, (vertical, horizontal)))


def _excursions(values: Floats) -> tuple[float, float]:
    """The largest rise and the largest fall of a series, between any two moments."""
    highest, lowest = np.maximum.accumulate(values), np.minimum.accumulate(values)
    return float((values - lowest).max()), float((highest - values).max())
