"""Where an object is at a time t: straight motion and bouncing.

Positions are fractions (x, y) of the picture's width and height, y downwards; times are seconds. A
trajectory is defined for every t, so a scene can be rendered from any moment on and for any length.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.scenes.vocabulary import DIRECTIONS

Floats = NDArray[np.float64]


class Trajectory(Protocol):
    """The path of an object's centre."""

    def positions(self, times: Floats) -> Floats:
        """Centres (F,2), as (x, y), at the times (F,) in seconds."""
        ...


@dataclass(frozen=True)
class Straight:
    """Uniform motion p(t) = start + velocity·t; what leaves comes in again at the other side.

    `margin` is how far beyond the border the object is wholly out of sight: there it changes sides.
    """

    start: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    margin: float = 0.5

    def positions(self, times: Floats) -> Floats:
        path = np.asarray(self.start) + times[:, None] * np.asarray(self.velocity)
        return (path + self.margin) % (1 + 2 * self.margin) - self.margin


@dataclass(frozen=True)
class Bouncing:
    """A ball on a floor: y(t) = floor - height·4s(1-s), s in [0,1) the phase of the bounce."""

    x: float
    floor: float
    height: float
    period: float
    phase: float

    def positions(self, times: Floats) -> Floats:
        s = (times / self.period + self.phase) % 1
        y = self.floor - self.height * 4 * s * (1 - s)
        return np.stack([np.full_like(y, self.x), y], axis=-1)


@dataclass(frozen=True)
class Backwards:
    """Another trajectory seen backwards: time 0 shows its second `end`."""

    path: Trajectory
    end: float

    def positions(self, times: Floats) -> Floats:
        return self.path.positions(self.end - times)


OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


def opposite(motion: str) -> str:
    """The name of a motion played backwards."""
    return " ".join(OPPOSITE.get(word, word) for word in motion.split())


def sample_trajectory(
    rng: np.random.Generator, motion: str, *, reach: float, duration: float
) -> Trajectory:
    """A trajectory that shows `motion` plainly and its object nearly whole for `duration` s.

    `reach` is how far the object extends from its centre, as a fraction of the shorter side.
    """
    inset = 0.8 * reach  # a little of the object may be cut off by the border
    if motion == "bounces":
        height = rng.uniform(0.3, min(0.5, 1 - 2 * inset))
        return Bouncing(
            x=rng.uniform(inset, 1 - inset),
            floor=rng.uniform(inset + height, 1 - inset),
            height=height,
            period=duration * rng.uniform(0.5, 0.7),
            phase=rng.uniform(),
        )
    signs = DIRECTIONS.get(motion, (0, 0))
    distance = rng.uniform(0.28, 0.42)
    moved = [sign * distance * rng.uniform(0.9, 1.0) for sign in signs]
    start = [rng.uniform(inset - min(d, 0), 1 - inset - max(d, 0)) for d in moved]
    return Straight(
        start=(start[0], start[1]),
        velocity=(moved[0] / duration, moved[1] / duration),
        margin=1.1 * reach,
    )
