"""What a scene is: a background and one or two moving objects, as a description in continuous time.

A scene knows nothing of pixels, frames or frame rates; `render` turns any stretch of it into a
clip.
"""

from dataclasses import dataclass, field

import numpy as np

from starflow_v.data.scenes.motion import Trajectory, sample_trajectory
from starflow_v.data.scenes.vocabulary import (
    BACKGROUND_COLORS,
    MOTIONS,
    OBJECT_COLORS,
    PATTERNS,
    RADII,
    SHAPES,
    contrasts,
)

REACH = {"circle": 1.0, "square": 0.89, "triangle": 1.35, "star": 1.4}
"""Shape -> how far it extends from its centre, in radii: areas are about equal at equal radius."""


@dataclass(frozen=True)
class SceneObject:
    """An upright shape of one colour on its way."""

    shape: str
    color: str
    size: str
    motion: str
    radius: float
    """Fraction of the picture's shorter side."""
    trajectory: Trajectory
    outlined: bool = False
    """Drawn as a line along its contour; the background shows inside."""


@dataclass(frozen=True)
class Background:
    """One colour, whose brightness may vary along a direction."""

    color: str
    pattern: str = "plain"
    angle: float = 0.0
    """Direction of a gradient or of stripes' change, in radians from the x axis."""
    blurred: bool = False


@dataclass(frozen=True)
class Scene:
    """A background and its objects, the farthest first; the first one is the main object."""

    background: Background
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """How often what appears in a sampled scene."""

    two_objects: float = 0.1
    """Probability of a second object."""
    gradient: float = 0.3
    """Probability of a gradient as background."""
    striped: float = 0.0
    """Probability of a striped background."""
    duration: float = 2.0
    """Seconds in which a motion is plainly seen and nothing leaves the picture."""
    shapes: dict[str, float] = field(default_factory=dict)
    """Shape -> how often it is drawn, relative to the others; 1 for those that are left out."""

    def __post_init__(self) -> None:
        unknown = sorted(self.shapes.keys() - set(SHAPES))
        if unknown:
            raise ValueError(f"shapes {unknown} are not known: choose from {', '.join(SHAPES)}")
        if min(self.shape_shares) < 0 or sum(self.shape_shares) <= 0:
            raise ValueError(f"shapes {self.shapes}: none may be negative, one must be above 0")
        if not 0 <= self.two_objects <= 1:
            raise ValueError(f"two_objects is {self.two_objects}: a probability is from 0 to 1")
        if min(self.gradient, self.striped) < 0 or self.gradient + self.striped > 1:
            raise ValueError(
                f"gradient + striped are {self.gradient} + {self.striped}: probabilities of "
                "different backgrounds add up to at most 1; what is left is plain"
            )
        if self.duration <= 0:
            raise ValueError(f"duration is {self.duration} s: give the length of a clip, above 0")

    @property
    def shape_shares(self) -> list[float]:
        """How often each of `SHAPES` is drawn, relative to the others."""
        return [float(self.shapes.get(shape, 1.0)) for shape in SHAPES]


DEFAULTS = SceneSettings()


def sample_scene(rng: np.random.Generator, settings: SceneSettings = DEFAULTS) -> Scene:
    """A random scene; attributes are independent and uniform, but for what would not be seen."""
    background = sample_background(rng, settings)
    first = sample_object(rng, background, settings)
    if rng.uniform() >= settings.two_objects:
        return Scene(background, (first,))
    return add_object(rng, Scene(background, (first,)), settings)


def sample_background(rng: np.random.Generator, settings: SceneSettings) -> Background:
    """Any colour, with the patterns as often as the settings say."""
    shares = [1 - settings.gradient - settings.striped, settings.gradient, settings.striped]
    return Background(
        color=str(rng.choice(list(BACKGROUND_COLORS))),
        pattern=str(rng.choice(PATTERNS, p=shares)),
        angle=float(rng.uniform(0, 2 * np.pi)),
    )


def sample_object(
    rng: np.random.Generator,
    background: Background,
    settings: SceneSettings = DEFAULTS,
    *,
    avoid: tuple[str, ...] = (),
) -> SceneObject:
    """An object that stands out from the background and has none of the colours in `avoid`."""
    colors = [c for c in OBJECT_COLORS if contrasts(c, background.color) and c not in avoid]
    shape, color = _draw_shape(rng, settings), str(rng.choice(colors))
    size, motion = str(rng.choice(list(RADII))), str(rng.choice(MOTIONS))
    radius = float(rng.uniform(*RADII[size]))
    trajectory = sample_trajectory(
        rng, motion, reach=radius * REACH[shape], duration=settings.duration
    )
    return SceneObject(shape, color, size, motion, radius, trajectory)


def _draw_shape(rng: np.random.Generator, settings: SceneSettings) -> str:
    """Without weights another way of drawing, so that streams stay what they were."""
    if not settings.shapes:
        return str(rng.choice(SHAPES))
    shares = np.asarray(settings.shape_shares)
    return str(rng.choice(SHAPES, p=shares / shares.sum()))


def add_object(rng: np.random.Generator, scene: Scene, settings: SceneSettings = DEFAULTS) -> Scene:
    """The scene with one more object of another colour, off the others' ways if there is room."""
    times = np.linspace(0, settings.duration, 9)
    avoid = tuple(thing.color for thing in scene.objects)

    def clearance(candidate: SceneObject) -> float:
        own = candidate.trajectory.positions(times)
        return min(
            float(np.linalg.norm(own - thing.trajectory.positions(times), axis=-1).min())
            - thing.radius - candidate.radius
            for thing in scene.objects
        )  # fmt: skip

    candidates = [sample_object(rng, scene.background, settings, avoid=avoid) for _ in range(8)]
    return Scene(scene.background, (*scene.objects, max(candidates, key=clearance)))
