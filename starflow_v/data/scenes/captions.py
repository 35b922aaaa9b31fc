"""Captions: a scene in words, in the canonical form or in a random wording of it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from starflow_v.data.scenes import wordings
from starflow_v.data.scenes.scene import Background, Scene, SceneObject
from starflow_v.data.scenes.vocabulary import DIRECTIONS
from starflow_v.data.scenes.wordings import article

Option = TypeVar("Option")

CANONICAL = 0.4
"""Share of sampled captions in the canonical form."""


@dataclass(frozen=True)
class Chooser:
    """Picks among wordings: at random, or always the first where there is no generator."""

    rng: np.random.Generator | None = None

    def choose(self, options: list[Option]) -> Option:
        return options[0] if self.rng is None else options[self.rng.integers(len(options))]

    def flip(self, probability: float) -> bool:
        """True with this probability; never without a generator."""
        return self.rng is not None and self.rng.uniform() < probability


def canonical_caption(scene: Scene, *, with_size: bool = True, moving: bool = True) -> str:
    """For example "a big red circle moves up and left on a gray background".

    `with_size=False` leaves out the size, `moving=False` (for stills) the motion.
    """
    words = Chooser()
    place = describe_background(words, scene.background)
    if not scene.objects:
        return wordings.EMPTY[0].format(background=place)
    return f"{_join(words, scene, with_size=with_size, moving=moving, form=0)} on {place}"


def sample_caption(rng: np.random.Generator, scene: Scene, *, moving: bool = True) -> str:
    """A random wording; size and plainness of the background may go untold, all else is said."""
    with_size = rng.uniform() < 0.5
    if rng.uniform() < CANONICAL:
        return canonical_caption(scene, with_size=with_size, moving=moving)
    words = Chooser(rng)
    background = describe_background(words, scene.background)
    if not scene.objects:
        return words.choose(wordings.EMPTY).format(background=background)
    sentence = moving and words.flip(0.5)
    subject = _join(words, scene, with_size=with_size, moving=moving, form=0 if sentence else 1)
    return words.choose(wordings.SENTENCES if sentence else wordings.NOUN_PHRASES).format(
        finite=subject,
        participle=subject,
        place=words.choose(wordings.PLACES).format(background=background),
        noun=words.choose(wordings.BACKGROUND_NOUNS),
        look=describe_look(words, scene.background),
    )


def _join(words: Chooser, scene: Scene, *, with_size: bool, moving: bool, form: int) -> str:
    """All objects with their motions; form 0: "a circle moves left", 1: "a circle moving left"."""
    parts = []
    for thing in scene.objects:
        subject = article(describe_object(words, thing, with_size=with_size))
        parts.append(f"{subject} {describe_motion(words, thing)[form]}" if moving else subject)
    return " and ".join(parts)


def describe_object(words: Chooser, thing: SceneObject, *, with_size: bool) -> str:
    """For example "small green star", without an article."""
    size = [words.choose(wordings.SIZE_WORDS[thing.size])] if with_size else []
    color = words.choose(wordings.COLOR_WORDS[thing.color])
    return " ".join([*size, color, words.choose(wordings.SHAPE_WORDS[thing.shape])])


def describe_motion(words: Chooser, thing: SceneObject) -> tuple[str, str]:
    """The motion as (finite verb, participle), for example ("moves left", "moving left")."""
    verbs = {"bounces": wordings.BOUNCE_VERBS, "still": wordings.STILL_VERBS}
    options = verbs.get(thing.motion, wordings.MOVE_VERBS)
    finite, participle = words.choose(options)
    if thing.motion not in DIRECTIONS:
        return finite, participle
    if thing.motion in wordings.WAYS:
        way = words.choose(wordings.WAYS[thing.motion])
    else:
        vertical, horizontal = thing.motion.split(" and ")
        pattern = words.choose(wordings.DIAGONAL_WAYS)
        way = pattern.format(h=horizontal, **wordings.VERTICAL_WORDS[vertical])
    return f"{finite} {way}", f"{participle} {way}"


def describe_look(words: Chooser, background: Background) -> str:
    """The background's adjectives: "blue", "plain blue", "blue gradient", "striped blue"."""
    color = words.choose(wordings.COLOR_WORDS[background.color])
    pattern = words.choose(wordings.PATTERN_WORDS[background.pattern])
    if background.pattern == "plain":
        return f"{pattern} {color}" if words.flip(0.3) else color
    return f"{color} {pattern}" if background.pattern == "gradient" else f"{pattern} {color}"


def describe_background(words: Chooser, background: Background) -> str:
    """For example "a gray background" or "an orange gradient backdrop"."""
    noun = words.choose(wordings.BACKGROUND_NOUNS)
    return article(f"{describe_look(words, background)} {noun}")
