"""Captions read back: which attributes a caption names.

The inverse of `captions`, written without its templates so that it also understands what people
write: words next to "background" describe the background, adjectives belong to the shape that
follows them, words of motion to the shape before them.
"""

from starflow_v.data.scenes.attributes import Attributes
from starflow_v.data.scenes.wordings import (
    BACKGROUND_NOUNS,
    COLOR_WORDS,
    PATTERN_WORDS,
    SHAPE_WORDS,
    SIZE_WORDS,
    split_words,
)


def _meanings(table: dict[str, list[str]]) -> dict[str, str]:
    return {word: meaning for meaning, words in table.items() for word in words}


COLORS = _meanings(COLOR_WORDS) | {"aqua": "cyan"}
SHAPES = _meanings(SHAPE_WORDS) | {"disk": "circle"}
SIZES = _meanings(SIZE_WORDS)
PATTERNS = _meanings(PATTERN_WORDS) | {"stripes": "striped"}
HORIZONTAL = _meanings(
    {
        "left": ["left", "leftward", "leftwards"],
        "right": ["right", "rightward", "rightwards"],
    }
)
VERTICAL = _meanings(
    {
        "up": ["up", "upward", "upwards", "upper", "top", "rises", "rising"],
        "down": ["down", "downward", "downwards", "lower", "bottom", "falls", "falling"],
    }
)
STILL = {"still", "motionless", "stationary", "rests", "resting", "static", "not"}


def parse_objects(caption: str) -> tuple[Attributes, ...]:
    """The objects that a caption names, in its order; one without a shape if it names none."""
    words, background, pattern = _take_background(split_words(caption))
    starts = _starts_of_objects(words)
    return tuple(
        _read_object(words[start:end], background=background, pattern=pattern)
        for start, end in zip(starts, [*starts[1:], len(words)], strict=True)
    )


def parse_caption(caption: str) -> Attributes:
    """What a caption says of its first object and the background; None for what it does not."""
    return parse_objects(caption)[0]


def _take_background(words: list[str]) -> tuple[list[str], str | None, str | None]:
    """The words that are left, colour and pattern of the background."""
    span = _span_of_background(words)
    told = words[span.start : span.stop]
    color = next((COLORS[word] for word in told if word in COLORS), None)
    pattern = next((PATTERNS[word] for word in told if word in PATTERNS), None)
    if color and not pattern:
        pattern = "plain"
    return words[: span.start] + words[span.stop :], color, pattern


def _span_of_background(words: list[str]) -> range:
    """From the background's first adjective to its noun; beyond it in "the background is blue"."""
    adjectives = COLORS.keys() | PATTERNS.keys()
    nouns = [i for i, word in enumerate(words) if word in BACKGROUND_NOUNS]
    if nouns:
        start, end = nouns[0], nouns[0] + 1
        while start and words[start - 1] in adjectives:
            start -= 1
        if start == nouns[0]:
            while end < len(words) and words[end] in adjectives | {"is", "in", "a", "of", "to"}:
                end += 1
        return range(start, end)
    for i, word in enumerate(words):  # "a red circle moves left on black"
        if word in {"on", "over", "against"}:
            end = i + 1
            while end < len(words) and words[end] in adjectives | {"a"}:
                end += 1
            if end == len(words) or words[end] not in SHAPES:
                return range(i + 1, end)
    return range(0)


def _starts_of_objects(words: list[str]) -> list[int]:
    """Where each object's words begin: after the first, at the adjectives in front of its shape."""
    starts = []
    for i, word in enumerate(words):
        if word in SHAPES:
            start = i
            while start and words[start - 1] in COLORS.keys() | SIZES.keys():
                start -= 1
            starts.append(start)
    return [0, *starts[1:]]


def _read_object(words: list[str], *, background: str | None, pattern: str | None) -> Attributes:
    def first(table: dict[str, str]) -> str | None:
        return next((table[word] for word in words if word in table), None)

    return Attributes(
        color=first(COLORS),
        shape=first(SHAPES),
        size=first(SIZES),
        motion=_read_motion(words),
        background=background,
        pattern=pattern,
    )


def _read_motion(words: list[str]) -> str | None:
    if any(word.startswith("bounc") for word in words):
        return "bounces"
    if STILL.intersection(words):
        return "still"
    vertical = next((VERTICAL[word] for word in words if word in VERTICAL), None)
    horizontal = next((HORIZONTAL[word] for word in words if word in HORIZONTAL), None)
    return " and ".join(filter(None, (vertical, horizontal))) or None
