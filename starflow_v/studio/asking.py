"""What a visitor asks for: numbers from the browser, checked before anything is done with them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starflow_v.cli.common.settings import Wishes
from starflow_v.cli.common.tasks import Task
from starflow_v.data.scenes import Region
from starflow_v.studio.limits import Limits

OWN_SIZE = "As the model's own"
INSIDE, OUTSIDE = SIDES = "inside", "outside"
"""What is made: a rectangle, or all around it."""
LARGEST_SEED = 2**53
"""Larger numbers are not whole in a browser."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the page offers, by the model that is loaded."""

    sizes: dict[str, tuple[int, int]]
    """Name -> (height, width)."""
    most_frames: int
    solvers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Order:
    """A video that is asked for."""

    task: Task
    prompt: str
    seed: int
    wishes: Wishes


def read_seed(value: object) -> int:
    """A whole number, perhaps as it is written; nothing is another one each time."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return int.from_bytes(os.urandom(4), "big")
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,20}\s*", value):
        value = int(value)
    return int(_number(value, "seed", 0, LARGEST_SEED, whole=True))


def read_wishes(
    choices: Choices,
    limits: Limits,
    *,
    size: object,
    frames: object,
    guidance: object,
    solver: object,
    strength: object = None,
) -> Wishes:
    """The settings of a tab, each within what the page offers."""
    if not isinstance(size, str) or size not in (OWN_SIZE, *choices.sizes):
        raise ValueError(f"There is no size {size!r}. Choose one of the list.")
    if solver not in choices.solvers:
        raise ValueError(f"There is no solver {solver!r}. Choose {' or '.join(choices.solvers)}.")
    height, width = choices.sizes.get(size, (None, None))
    return Wishes(
        height=height,
        width=width,
        num_frames=int(_number(frames, "length", 1, choices.most_frames, whole=True)),
        guidance_scale=_number(guidance, "guidance", 0, limits.guidance),
        solver=str(solver),
        strength=None if strength is None else _number(strength, "strength", 0, 1),
    )


def read_region(
    *, left: object, right: object, top: object, bottom: object, side: object
) -> Region:
    """The part of the picture that is to be made, from percents of its width and height."""
    x0, x1 = _number(left, "left edge", 0, 100), _number(right, "right edge", 0, 100)
    y0, y1 = _number(top, "upper edge", 0, 100), _number(bottom, "lower edge", 0, 100)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(
            f"The rectangle from {x0:g} to {x1:g} % across and from {y0:g} to {y1:g} % down is "
            "empty. Let it end further on than it begins."
        )
    if side not in SIDES:
        raise ValueError(f"There is no side {side!r}. Choose {' or '.join(SIDES)}.")
    return Region(x0 / 100, y0 / 100, x1 / 100, y1 / 100, hides_inside=side == INSIDE)


def read_draws(value: object, limits: Limits) -> int:
    """How many draws of the noise a score is averaged over."""
    return int(_number(value, "number of draws", 1, limits.draws, whole=True))


def _number(value: object, name: str, least: float, most: float, *, whole: bool = False) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if good:
        number = float(value)  # type: ignore[arg-type]
        good = math.isfinite(number) and least <= number <= most
        if good and (not whole or number.is_integer()):
            return number
    kind = "a whole number" if whole else "a number"
    raise ValueError(f"The {name} must be {kind} from {least:g} to {most:g}.")
