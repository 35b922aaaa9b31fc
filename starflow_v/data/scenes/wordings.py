"""The words: every way in which captions and instructions say what there is and what happens.

All text about scenes is put together from these tables, so `known_words` is complete by
construction. The first entry of each list is the canonical one.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

COLOR_WORDS: Final[dict[str, list[str]]] = {
    "red": ["red"],
    "green": ["green"],
    "blue": ["blue"],
    "yellow": ["yellow"],
    "white": ["white"],
    "purple": ["purple", "violet"],
    "orange": ["orange"],
    "cyan": ["cyan", "turquoise"],
    "black": ["black"],
    "gray": ["gray", "grey"],
}

SHAPE_WORDS: Final[dict[str, list[str]]] = {
    "circle": ["circle", "disc", "ball"],
    "square": ["square", "box"],
    "triangle": ["triangle"],
    "star": ["star"],
}

SIZE_WORDS: Final[dict[str, list[str]]] = {
    "small": ["small", "little", "tiny"],
    "big": ["big", "large", "huge"],
}

PATTERN_WORDS: Final[dict[str, list[str]]] = {
    "plain": ["plain", "solid"],
    "gradient": ["gradient"],
    "striped": ["striped"],
}

MOVE_VERBS: Final = [
    ("moves", "moving"),
    ("goes", "going"),
    ("slides", "sliding"),
    ("drifts", "drifting"),
    ("travels", "traveling"),
    ("glides", "gliding"),
    ("flies", "flying"),
]
"""(finite form, participle)"""

BOUNCE_VERBS: Final = [
    ("bounces", "bouncing"),
    ("bounces up and down", "bouncing up and down"),
    ("keeps bouncing", "bouncing"),
]

STILL_VERBS: Final = [
    ("stays still", "staying still"),
    ("does not move", "not moving"),
    ("stands still", "standing still"),
    ("remains still", "resting"),
    ("is motionless", "motionless"),
]

WAYS: Final[dict[str, list[str]]] = {
    "right": ["right", "to the right", "rightwards", "towards the right"],
    "left": ["left", "to the left", "leftwards", "towards the left"],
    "down": ["down", "downwards", "towards the bottom"],
    "up": ["up", "upwards", "towards the top"],
}
"""Direction -> adverbs that follow a verb of motion."""

DIAGONAL_WAYS: Final = [
    "{v} and {h}",
    "{h} and {v}",
    "diagonally {v} and {h}",
    "{v} and to the {h}",
    "to the {vertical} {h}",
    "towards the {end} {h}",
]
"""Ways along a diagonal: {h} is left or right, the others are in VERTICAL_WORDS."""

VERTICAL_WORDS: Final[dict[str, dict[str, str]]] = {
    "up": {"v": "up", "vertical": "upper", "end": "top"},
    "down": {"v": "down", "vertical": "lower", "end": "bottom"},
}

PLACES: Final = [
    "on {background}",
    "over {background}",
    "against {background}",
    "in front of {background}",
    "with {background}",
]
BACKGROUND_NOUNS: Final = ["background", "backdrop"]

SENTENCES: Final = [
    "{finite} {place}",
    "{place}, {finite}",
    "{finite}, the {noun} is {look}",
]
NOUN_PHRASES: Final = [
    "{participle} {place}",
    "a video of {participle} {place}",
    "an animation of {participle} {place}",
    "{place} there is {participle}",
]
EMPTY: Final = ["nothing on {background}", "only {background}", "{background} without an object"]

NAMES: Final = ["the {color} {shape}", "the {shape}", "the {color} object", "the object", "it"]
"""How an instruction points at an object; in company only the first is clear."""

INSTRUCTIONS: Final[dict[str, list[str]]] = {
    "recolor": [
        "make {name} {color}",
        "change the color of {name} to {color}",
        "recolor {name} {color}",
        "paint {name} {color}",
        "turn {name} {color}",
        "change the color to {color}",
    ],
    "change shape": [
        "change {name} into {shape}",
        "turn {name} into {shape}",
        "make {name} {shape}",
        "replace {name} with {shape}",
        "change the shape to {shape}",
    ],
    "change background": [
        "change the background to {look}",
        "make the background {look}",
        "put {name} on a {look} background",
        "replace the background with {look}",
        "turn the background {look}",
        "change the background color to {look}",
    ],
    "blur background": [
        "blur the background",
        "make the background blurry",
        "put the background out of focus",
    ],
    "remove": [
        "remove {name}",
        "delete {name}",
        "erase {name}",
        "take {name} away",
        "make {name} disappear",
    ],
    "add": ["add {participle}", "insert {participle}", "add {clause}", "put in {participle}"],
    "reverse motion": [
        "reverse the motion",
        "play it backwards",
        "reverse the direction of {name}",
        "make {name} go the other way",
    ],
    "outline": [
        "turn {name} into an outline",
        "draw only the outline of {name}",
        "show {name} as an outline",
        "outline {name}",
    ],
    "inpaint": [
        "fill in the masked region",
        "inpaint the masked region: {caption}",
        "fill in the gray region: {caption}",
        "inpaint: {caption}",
        "{caption}",
    ],
    "outpaint": [
        "extend the picture beyond its borders",
        "outpaint the video: {caption}",
        "fill in the gray border: {caption}",
        "outpaint: {caption}",
        "{caption}",
    ],
}
"""Kind of edit -> instructions. The first of those with a mask tells nothing of the scene."""


def article(phrase: str) -> str:
    """The phrase with the indefinite article that it asks for."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[a-z]+", text.lower())


@cache
def known_words() -> frozenset[str]:
    """Every word that a caption or an instruction about scenes can hold."""
    tables: list[Iterable[str]] = [
        *COLOR_WORDS.values(), *SHAPE_WORDS.values(), *SIZE_WORDS.values(), *PATTERN_WORDS.values(),
        *WAYS.values(), *MOVE_VERBS, *BOUNCE_VERBS, *STILL_VERBS, DIAGONAL_WAYS, PLACES, SENTENCES,
        NOUN_PHRASES, EMPTY, BACKGROUND_NOUNS, NAMES, *INSTRUCTIONS.values(),
        *(words.values() for words in VERTICAL_WORDS.values()), ["a an that and"],
    ]  # fmt: skip
    texts = (re.sub(r"\{\w+\}", " ", text) for table in tables for text in table)
    return frozenset(word for text in texts for word in split_words(text))
