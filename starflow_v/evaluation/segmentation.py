"""Which pixels of a clip belong to which object, without a network: background first, then colours.

The background is a plane of colour b(x,y) = b0 + bx·x + by·y, fitted to the pixels that agree with
it. A pixel p that lies between the background b and an object's colour c is covered by the object
to the share alpha = <p - b, c - b> / |c - b|², which keeps positions between pixels through blur
and noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.scenes.vocabulary import BACKGROUND_COLORS, OBJECT_COLORS

Array = NDArray[np.float32]

FOREGROUND = 70.0
"""Distance in RGB (0 to 255) that makes a pixel foreground: above stripes and noise."""
SMALLEST = 0.01
"""Share of the picture, on average over time, below which a colour is no object."""
MOST_OBJECTS = 3


@dataclass(frozen=True)
class Plane:
    """The fitted background."""

    colors: Array
    """(H,W,3), 0 to 255."""
    slope: float
    """How much the brightness changes across the picture."""
    ripple: float
    """Standard deviation of the background's pixels around the plane: the mark of stripes."""

    @property
    def color(self) -> str:
        """The name of the nearest background colour."""
        return nearest(self.colors.mean((0, 1)), BACKGROUND_COLORS)

    @property
    def pattern(self) -> str:
        if self.ripple > 9:
            return "striped"
        return "gradient" if self.slope > 22 else "plain"


@dataclass(frozen=True)
class Segment:
    """One object's trace through the clip."""

    color: str
    alpha: Array
    """(F,H,W), the share of each pixel that the object covers."""

    @property
    def area(self) -> float:
        """Mean share of the picture that is covered."""
        return float(self.alpha.mean())


def nearest(color: Array, palette: dict[str, tuple[int, int, int]]) -> str:
    """The palette's colour of the least distance in RGB."""
    distances = np.linalg.norm(np.asarray(list(palette.values())) - color, axis=-1)
    return list(palette)[int(distances.argmin())]


def fit_background(frames: Array) -> Plane:
    """Least squares over the pixels near the fit, repeated, from the commonest colour on."""
    _, height, width, _ = frames.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    basis = np.stack([np.ones_like(x), x, y], axis=-1).reshape(-1, 3)
    still = np.median(frames, axis=0).reshape(-1, 3)
    plane = np.broadcast_to(_commonest(still), still.shape)
    coefficients = np.zeros((3, 3))
    for tolerance in (90.0, 70.0, 60.0, 60.0):
        near = np.linalg.norm(still - plane, axis=-1) < tolerance
        if near.sum() < len(near) / 8:  # no plane to be found: noise
            break
        coefficients = np.linalg.lstsq(basis[near], still[near], rcond=None)[0]
        plane = basis @ coefficients
    inner = np.linalg.norm(still - plane, axis=-1) < 60
    if not inner.any():
        return Plane(plane.reshape(height, width, 3).astype(np.float32), 0.0, 0.0)
    slope = 2 * float(np.hypot(*coefficients[1:].mean(1)))
    ripple = float((still - plane)[inner].mean(-1).std())
    return Plane(plane.reshape(height, width, 3).astype(np.float32), slope, ripple)


def _commonest(colors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The palette background with the most pixels near it, as the median of those pixels."""
    palette = np.asarray(list(BACKGROUND_COLORS.values()))
    names = np.linalg.norm(colors[:, None] - palette, axis=-1).argmin(1)
    return np.median(colors[names == np.bincount(names).argmax()], axis=0)


def segment(frames: NDArray[np.uint8]) -> tuple[Plane, list[Segment]]:
    """The background and the objects of a clip (F,H,W,3), the largest first.

    The commonest object colour is taken first; what it and its soft edges explain is taken out;
    what is left may hold a second object.
    """
    pixels = frames.astype(np.float32)
    plane = fit_background(pixels)
    rest = _square_norm(pixels - plane.colors) > FOREGROUND**2
    segments: list[Segment] = []
    while len(segments) < MOST_OBJECTS and rest.mean() > SMALLEST / 2:
        found, explained = _take_commonest(pixels, plane, rest)
        if found.area < SMALLEST:
            break
        segments.append(found)
        rest &= ~explained
    return plane, sorted(segments, key=lambda it: -it.area)


def _take_commonest(
    pixels: Array, plane: Plane, rest: NDArray[np.bool_]
) -> tuple[Segment, NDArray[np.bool_]]:
    """The segment of the commonest colour in `rest` (F,H,W), and which pixels it explains."""
    palette = np.asarray(list(OBJECT_COLORS.values()), np.float32)
    labels = np.full(rest.shape, -1)
    labels[rest] = np.linalg.norm(pixels[rest][:, None] - palette, axis=-1).argmin(-1)
    masks = {index: labels == index for index in np.unique(labels[rest])}
    cores = {index: _erode(mask) for index, mask in masks.items()}
    if not any(core.any() for core in cores.values()):  # lines too thin to have an inside
        cores = masks
    index = max(cores, key=lambda index: cores[index].sum())
    around = core = cores[index]
    for _ in range(4):
        around = _dilate(around)
    ray = np.median(pixels[core], axis=0) - plane.colors
    difference = pixels - plane.colors
    alpha = np.einsum("fhwc,hwc->fhw", difference, ray) / _square_norm(ray)
    alpha = np.clip(alpha, 0, 1)
    residual = _square_norm(difference - alpha[..., None] * ray)
    explained = around & (residual < FOREGROUND**2)
    alpha = np.where(explained & (alpha > 0.25), alpha, 0).astype(np.float32)
    return Segment(list(OBJECT_COLORS)[index], alpha), explained


def _square_norm(colors: Array) -> Array:
    """|c|² over the last axis."""
    return np.asarray(np.einsum("...c,...c->...", colors, colors))


def _erode(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (F,H,W) whose four neighbours belong to it too."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)), mode="edge")
    vertical = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1]
    return mask & vertical & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]


def _dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (F,H,W) and their four neighbours."""
    return ~_erode(~mask)
