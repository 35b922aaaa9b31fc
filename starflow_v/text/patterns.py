"""Captions that a model can choose from: sentences with places for words.

    "a {size} {shape} on a {look} background"
    size: small, big    shape: circle, star    look: gray, blue
                                          ->  "a big star on a gray background", 8 captions

They are too many to try all of them where there are many places. `most_likely` settles one word
after the other, which is enough where each word says something of its own, and exchanges words
of two places that choose from the same, which may have been confused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from string import Formatter
from typing import Any

LogLikelihood = Callable[[Sequence[str]], Sequence[float]]
"""Captions -> log p(what is seen | caption) of each, in nats."""


@dataclass(frozen=True, kw_only=True)
class CaptionPatterns:
    """Sentences and the words for their places.

    Args:
        patterns: the sentences, simplest first, with places in braces: what a still shows.
        moving: sentence -> the same as a clip is told, with further places for what happens in it.
        words: place -> its words.

    Raises:
        ValueError: if there is no sentence, or no word for a place.
    """

    patterns: Sequence[str]
    words: Mapping[str, Sequence[str]]
    moving: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.patterns:
            raise ValueError("caption patterns without a sentence: give at least one")
        if unknown := sorted(self.moving.keys() - set(self.patterns)):
            raise ValueError(f"moving has {unknown}, which is none of the patterns")
        for pattern in (*self.patterns, *self.moving.values()):
            empty = [place for place in self.places(pattern) if not self.words.get(place)]
            if empty:
                raise ValueError(f"the pattern {pattern!r} has no words for {', '.join(empty)}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CaptionPatterns:
        """Of a model's `caption_patterns`."""
        known = {"patterns", "words", "moving"}
        if not {"patterns", "words"} <= config.keys() <= known:
            raise ValueError(
                "caption patterns are {'patterns': [...], 'words': {...}, 'moving': {...}}, the "
                f"last if clips are told more than stills; got {', '.join(sorted(config))}"
            )
        return cls(**config)

    @staticmethod
    def places(pattern: str) -> list[str]:
        """The places of a sentence, in its order."""
        return list(dict.fromkeys(name for _, name, _, _ in Formatter().parse(pattern) if name))

    def log_prior(self, pattern: str) -> float:
        """log p of one caption of a sentence, if its words are equally probable."""
        return -sum(math.log(len(self.words[place])) for place in self.places(pattern))


@dataclass(frozen=True, kw_only=True)
class Likeliest:
    """The best of many captions.

    Args:
        text: the caption.
        probability: p(caption | what is seen), if it is one of those that were asked for.
    """

    text: str
    probability: float


def most_likely(
    captions: CaptionPatterns, still: LogLikelihood, clip: LogLikelihood | None = None
) -> Likeliest:
    """The caption that explains best what is seen: coordinate ascent on log p(seen | caption) +
    log p(caption).

    A sentence begins with the words that the best one before it has found; it is given up if it is
    no better with the best words for its further places. So a longer one has to earn its length.
    What moves is settled last, all else standing.

    Args:
        captions: those to choose from.
        still: how likely some of its frames are under captions of stills.
        clip: how likely the whole clip is under those of clips; `None`: there is no clip.

    >>> captions = CaptionPatterns(
    ...     patterns=["{n} dots", "{n} dots and {m} stars"],
    ...     words={"n": ["two", "six"], "m": ["two", "six"]},
    ... )
    >>> most_likely(captions, lambda texts: [9.0 * text.startswith("six") for text in texts]).text
    'six dots'
    """
    search = _Search(captions, still)
    best: _Caption | None = None
    for pattern in captions.patterns:
        first = search.begin(pattern, best)
        if best is None or first.score > best.score:
            best = search.ascend(first)
    assert best is not None, "there is a pattern"
    probability = search.probability(best)
    moving = captions.moving.get(best.pattern)
    if moving is not None and clip is not None:
        search = _Search(captions, clip)
        best = search.begin(moving, best)
        probability *= search.probability(best)
    return Likeliest(text=best.text, probability=probability)


@dataclass(frozen=True, kw_only=True)
class _Caption:
    pattern: str
    words: Mapping[str, str]
    score: float = -math.inf

    @property
    def text(self) -> str:
        return self.pattern.format_map(self.words)


class _Search:
    """Asks for the likelihood of no caption twice."""

    def __init__(self, captions: CaptionPatterns, log_likelihood: LogLikelihood) -> None:
        self._captions, self._log_likelihood = captions, log_likelihood
        self._scores: dict[str, float] = {}

    def begin(self, pattern: str, best: _Caption | None) -> _Caption:
        """A sentence whose words are those of the best so far, and one round over all others."""
        places = self._captions.places(pattern)
        known = {} if best is None else best.words
        first = {place: self._captions.words[place][0] for place in places}
        new = [place for place in places if place not in known]
        (caption,) = self._scored([_Caption(pattern=pattern, words={**first, **known})])
        return self._round(caption, new)

    def ascend(self, caption: _Caption) -> _Caption:
        """Rounds over all places, until none changes anything."""
        places = self._captions.places(caption.pattern)
        while (better := self._round(caption, places)).score > caption.score:
            caption = better
        return caption

    def probability(self, caption: _Caption) -> float:
        """Of the best caption among all that were asked for."""
        return 1 / sum(math.exp(score - caption.score) for score in self._scores.values())

    def _round(self, caption: _Caption, places: Sequence[str]) -> _Caption:
        """The best word for one place after the other, then the best of two exchanged or not: word
        by word nothing leads from "red disc, blue star" to "red star, blue disc".
        """
        known = self._captions.words
        for place in places:
            caption = self._best([{**caption.words, place: word} for word in known[place]], caption)
        for one, other in combinations(places, 2):
            if known[one] == known[other]:
                first, second = caption.words[one], caption.words[other]
                exchanged = {**caption.words, one: second, other: first}
                caption = self._best([caption.words, exchanged], caption)
        return caption

    def _best(self, words: Sequence[Mapping[str, str]], caption: _Caption) -> _Caption:
        """The best of the same sentence with other words."""
        options = self._scored([replace(caption, words=it) for it in words])
        return max(options, key=lambda it: it.score)

    def _scored(self, captions: Sequence[_Caption]) -> list[_Caption]:
        new = {it.text: it.pattern for it in captions if it.text not in self._scores}
        if new:
            for text, log_likelihood in zip(new, self._log_likelihood(list(new)), strict=True):
                self._scores[text] = log_likelihood + self._captions.log_prior(new[text])
        return [replace(it, score=self._scores[it.text]) for it in captions]
