"""What a visitor asks for: numbers from the browser, checked before anything is done with them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from starflow_v.cli.common.settings import Wishes
from starflow_v.cli.common.tasks import Task
from starflow_v.studio.limits import Limits

OWN_SIZE = "As the model's own"
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
    """A whole number; nothing is another one each time."""
    if value is None or value == "":
        return int.from_bytes(os.urandom(4), "big")
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
