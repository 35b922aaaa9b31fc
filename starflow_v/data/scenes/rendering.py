"""From a scene to pixels: anti-aliased shapes from their signed distances.

A signed distance d(p) is negative inside a shape and positive outside. Measured in pixels, 1/2 - d
clipped to [0,1] is how much of a pixel the shape covers, at any position between pixels.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.scenes.scene import Background, Scene, SceneObject
from starflow_v.data.scenes.vocabulary import BACKGROUND_COLORS, OBJECT_COLORS

Array = NDArray[np.float32]

SHADE = 26.0
"""How much brighter or darker than its colour a gradient or a stripe becomes, of 255."""
STRIPE_PERIOD = 0.25
"""Period of the stripes as a fraction of the shorter side."""
BLUR = 0.4
"""Contrast that is left of the stripes when they are blurred."""
STROKE = 0.3
"""Width of an outline in radii."""
FIFTH = math.pi / 5
"""Angle between a tip of the star and the valley beside it."""


def _circle(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y) - np.float32(1)


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.89)


def _triangle(x: Array, y: Array) -> Array:
    inscribed = np.float32(1.35 / 2)
    slope = np.abs(x) * np.float32(np.cos(np.pi / 6)) - y * np.float32(np.sin(np.pi / 6))
    return np.maximum(slope, y) - inscribed


def _star(x: Array, y: Array, *, outer: float = 1.4, inner: float = 0.6) -> Array:
    """Two reflections bring every point beside the upper tip, where one line is the border."""
    x, y = np.abs(x), -y
    for side in (1, -1):
        normal_x, normal_y = np.float32(side * math.cos(FIFTH)), np.float32(-math.sin(FIFTH))
        beyond = np.maximum(x * normal_x + y * normal_y, 0) * np.float32(2)
        x, y = x - beyond * normal_x, y - beyond * normal_y
    rise, run = outer - inner * math.cos(FIFTH), inner * math.sin(FIFTH)  # from valley to tip
    slant = math.hypot(rise, run)
    normal_x, normal_y = np.float32(rise / slant), np.float32(run / slant)
    return np.abs(x) * normal_x + (y - np.float32(outer)) * normal_y


SIGNED_DISTANCES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
}
"""Shape -> signed distance, in radii, at points given in radii from the centre (y downwards)."""


def coverage(thing: SceneObject, times: NDArray[np.float64], *, height: int, width: int) -> Array:
    """How much of each pixel the object covers, (F,H,W) in [0,1]."""
    radius = thing.radius * min(height, width)
    centres = thing.trajectory.positions(times).astype(np.float32)
    x = (np.arange(width, dtype=np.float32) + 0.5 - centres[:, :1] * width) / radius
    y = (np.arange(height, dtype=np.float32) + 0.5 - centres[:, 1:] * height) / radius
    distance = SIGNED_DISTANCES[thing.shape](*np.broadcast_arrays(x[:, None, :], y[:, :, None]))
    if thing.outlined:
        distance = np.abs(distance + STROKE / 2) - STROKE / 2
    return np.clip(0.5 - distance * np.float32(radius), 0, 1)


def render_background(background: Background, *, height: int, width: int) -> Array:
    """Colours (H,W,3), 0 to 255."""
    color = np.asarray(BACKGROUND_COLORS[background.color], dtype=np.float32)
    short = min(height, width)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / short
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / short
    along = x * np.cos(background.angle) + y[:, None] * np.sin(background.angle)
    if background.pattern == "gradient":
        shade = along / np.abs(along).max()
    elif background.pattern == "striped":
        wave = np.sin(along * (2 * np.pi / STRIPE_PERIOD))
        sharpness = short * STRIPE_PERIOD / (2 * np.pi)  # edges of the stripes are one pixel wide
        shade = BLUR * wave if background.blurred else np.clip(wave * sharpness, -1, 1)
    else:
        shade = np.zeros_like(along)
    return np.clip(color + SHADE * shade[..., None], 0, 255).astype(np.float32)


def render(
    scene: Scene,
    *,
    num_frames: int = 17,
    height: int = 64,
    width: int = 64,
    fps: float = 8.0,
    start: float = 0.0,
) -> NDArray[np.uint8]:
    """Frames (F,H,W,3), uint8: `num_frames` of the scene from second `start` on."""
    times = start + np.arange(num_frames) / fps
    picture = render_background(scene.background, height=height, width=width)
    frames = np.broadcast_to(picture, (num_frames, height, width, 3))
    for thing in scene.objects:
        alpha = coverage(thing, times, height=height, width=width)[..., None]
        frames = frames + alpha * (np.asarray(OBJECT_COLORS[thing.color], np.float32) - frames)
    return (frames + 0.5).astype(np.uint8)
