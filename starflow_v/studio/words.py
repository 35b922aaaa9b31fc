"""The words that a model knows, in groups, and those of a prompt that it does not know."""

from __future__ import annotations

from collections.abc import Iterable

from starflow_v.data.scenes import wordings
from starflow_v.studio.pages import plain
from starflow_v.text import Tokenizer, known_words, unknown_words

MOST_TOLD = 8
"""Unknown words that are named."""

TABLES: dict[str, Iterable[str]] = {
    "Colours": [word for words in wordings.COLOR_WORDS.values() for word in words],
    "Shapes": [word for words in wordings.SHAPE_WORDS.values() for word in words],
    "Sizes": [word for words in wordings.SIZE_WORDS.values() for word in words],
    "Motions": [
        verb
        for verbs in (wordings.MOVE_VERBS, wordings.BOUNCE_VERBS, wordings.STILL_VERBS)
        for pair in verbs
        for verb in pair
    ],
    "Directions": [
        *(word for words in wordings.WAYS.values() for word in words),
        *wordings.DIAGONAL_WAYS,
    ],
    "Backgrounds": [
        *wordings.BACKGROUND_NOUNS,
        *(word for words in wordings.PATTERN_WORDS.values() for word in words),
    ],
}
"""Groups of the scenes' words."""


def grouped(tokenizer: Tokenizer | None) -> dict[str, list[str]]:
    """Group -> the words of it; none for a tokenizer that spells every word from pieces.

    A word is in the first group that holds it; words of no group are in the last one.
    """
    left = set(known_words(tokenizer)) if tokenizer is not None else set()
    groups = {}
    for name, phrases in TABLES.items():
        words = {word for phrase in phrases for word in wordings.split_words(phrase)} & left
        left -= words
        groups[name] = sorted(words)
    groups["And"] = sorted(left)
    return {name: words for name, words in groups.items() if words}


def glossary(tokenizer: Tokenizer | None) -> str:
    """The groups as HTML."""
    rows = "".join(
        f"<dt>{plain(name)}</dt><dd>{plain(', '.join(words))}</dd>"
        for name, words in grouped(tokenizer).items()
    )
    return f'<dl class="words">{rows}</dl>' if rows else ""


def warning(tokenizer: Tokenizer | None, prompt: str) -> str:
    """What to say of words that the model has never seen; nothing if it knows them all."""
    unknown = unknown_words(tokenizer, prompt) if tokenizer is not None else []
    if not unknown:
        return ""
    named = ", ".join(word if len(word) <= 30 else word[:29] + "…" for word in unknown[:MOST_TOLD])
    more = f" and {len(unknown) - MOST_TOLD} more" if len(unknown) > MOST_TOLD else ""
    return f"The model has never seen: {named}{more}."
