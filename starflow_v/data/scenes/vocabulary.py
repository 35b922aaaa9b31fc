"""The closed world of the scenes: which colours, shapes, sizes, motions and backgrounds there are.

Everything else in this package (rendering, captions, the checker that reads a scene back from its
pixels) takes its names from here, so that a new colour is one new line.
"""

from typing import Final

RGB = tuple[int, int, int]

OBJECT_COLORS: Final[dict[str, RGB]] = {
    "red": (232, 40, 40),
    "green": (45, 190, 65),
    "blue": (45, 85, 235),
    "yellow": (245, 225, 45),
    "white": (245, 245, 245),
    "purple": (160, 50, 215),
    "orange": (248, 140, 25),
    "cyan": (40, 215, 228),
}
"""Colour of an object -> sRGB, 0 to 255."""

BACKGROUND_COLORS: Final[dict[str, RGB]] = {
    "black": (12, 12, 12),
    "gray": (128, 128, 128),
    "white": (238, 238, 238),
    "blue": (35, 55, 175),
    "green": (30, 150, 55),
    "red": (170, 32, 32),
}
"""Colour of a background -> sRGB; duller than the objects, so that those stand out."""

SHAPES: Final = ("circle", "square", "triangle", "star")

RADII: Final[dict[str, tuple[float, float]]] = {"small": (0.125, 0.14), "big": (0.205, 0.235)}
"""Size -> the smallest and largest radius, as fractions of the picture's shorter side."""

DIRECTIONS: Final[dict[str, tuple[int, int]]] = {
    "right": (1, 0),
    "left": (-1, 0),
    "down": (0, 1),
    "up": (0, -1),
    "up and left": (-1, -1),
    "up and right": (1, -1),
    "down and left": (-1, 1),
    "down and right": (1, 1),
}
"""Straight motion -> signs of its velocity along x (to the right) and y (downwards)."""

MOTIONS: Final = (*DIRECTIONS, "bounces", "still")

PATTERNS: Final = ("plain", "gradient", "striped")


def contrasts(color: str, background: str) -> bool:
    """Whether an object of this colour can be seen on this background: any but its own colour."""
    return color != background
