"""Aspect ratios by name, and the sizes that they mean."""

import math
import re

ASPECT_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21")
"""Width to height, as captions name them."""


def nearest_aspect_ratio(height: int, width: int) -> str:
    """The name in `ASPECT_RATIOS` closest to width / height, compared by their logarithms."""
    if height < 1 or width < 1:
        raise ValueError(f"height and width are {height} and {width}; expected 1 pixel or more")
    return min(ASPECT_RATIOS, key=lambda name: abs(math.log(width / height / ratio_of(name))))


def size_for(aspect_ratio: str, *, area: float, multiple: int) -> tuple[int, int]:
    """(height, width) of `aspect_ratio` with about `area` pixels, in multiples of `multiple`.

    Each side is rounded to the nearest multiple by itself: 640 * 640 pixels at 16:9 in multiples
    of 16 are 480 x 848.
    """
    ratio = ratio_of(aspect_ratio)
    if area <= 0 or multiple < 1:
        raise ValueError(f"area is {area} and multiple is {multiple}; expected positive numbers")
    height, width = math.sqrt(area / ratio), math.sqrt(area * ratio)
    return _round_to(height, multiple), _round_to(width, multiple)


def ratio_of(name: str) -> float:
    """Width over height of a name such as "16:9"."""
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", name)
    if match is None:
        known = ", ".join(ASPECT_RATIOS)
        raise ValueError(f"aspect ratio is {name!r}; expected WIDTH:HEIGHT, such as {known}")
    return int(match[1]) / int(match[2])


def _round_to(side: float, multiple: int) -> int:
    return max(1, math.floor(side / multiple + 0.5)) * multiple
