"""The likeliest of many captions, found word by word."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from starflow_v.text import CaptionPatterns, most_likely

KNOWN = CaptionPatterns(
    patterns=["nothing on {look}", "a {size} {shape} on {look}", "two, {size} and {other}"],
    words={
        "look": ["gray", "blue", "red"],
        "size": ["small", "big"],
        "shape": ["disc", "box", "star"],
        "other": ["small", "big"],
    },
)


def agreeing_with(true: str, *, nats: float = 20.0) -> Callable[[Sequence[str]], list[float]]:
    """A likelihood that pays for each word that is where it should be."""

    def log_likelihood(captions: Sequence[str]) -> list[float]:
        told = [zip(it.split(), true.split(), strict=False) for it in captions]
        return [nats * sum(a == b for a, b in pairs) for pairs in told]

    return log_likelihood


@pytest.mark.parametrize("true", ["nothing on red", "a big star on blue", "two, big and small"])
def test_it_is_found(true: str) -> None:
    assert most_likely(KNOWN, agreeing_with(true)).text == true


def test_no_caption_is_asked_for_twice_and_few_are_asked_for_at_all() -> None:
    words = {f"w{i}": [f"{i}{letter}" for letter in "abcdefgh"] for i in range(6)}
    many = CaptionPatterns(patterns=[" ".join(f"{{w{i}}}" for i in range(6))], words=words)
    asked: list[str] = []

    def log_likelihood(captions: Sequence[str]) -> list[float]:
        asked.extend(captions)
        return agreeing_with("0h 1g 2f 3e 4d 5c")(captions)

    assert most_likely(many, log_likelihood).text == "0h 1g 2f 3e 4d 5c"
    assert len(asked) == len(set(asked)) < 100 < 8**6


def test_a_longer_sentence_has_to_earn_its_length() -> None:
    """Without a prior, every picture of one thing was said to show a second one that was faint."""
    words = {"n": ["one", "two"], "m": ["a", "b", "c", "d"]}
    either = CaptionPatterns(patterns=["{n}", "{n} and {m}"], words=words)
    for gain, told in ((math.log(4) - 0.1, "two"), (math.log(4) + 0.1, "two and c")):
        worth = {"two": 5.0, "two and c": 5.0 + gain}.get
        found = most_likely(either, partial(map, lambda it, worth=worth: worth(it, 0.0)))
        assert found.text == told


def test_two_things_whose_words_were_confused_are_put_right() -> None:
    """Word by word the search stayed with the red disc and the blue star: each single change made
    it worse."""
    words = {"c": ["red", "blue"], "s": ["disc", "star"]}
    words |= {f"{place}_2": words[place] for place in words}
    pair = CaptionPatterns(patterns=["{c} {s}, {c_2} {s_2}"], words=words)
    true = {"red star", "blue disc"}

    def log_likelihood(captions: Sequence[str]) -> list[float]:
        named = [len(set(it.replace(",", "").split())) for it in captions]
        right = [set(it.split(", ")) == true for it in captions]
        return [10.0 * n + 5.0 * it for n, it in zip(named, right, strict=True)]

    assert set(most_likely(pair, log_likelihood).text.split(", ")) == true


@pytest.mark.parametrize("nats", [0.0, 1.0, 5.0])
def test_how_probable_it_is_among_those_that_were_asked_for(nats: float) -> None:
    moving = CaptionPatterns(
        patterns=["{n} dots"],
        words={"n": ["two", "six"], "go": ["rise", "fall", "stay"]},
        moving={"{n} dots": "{n} dots {go}"},
    )
    stills, clips = agreeing_with("six dots", nats=nats), agreeing_with("six dots rise", nats=nats)
    of_stills = math.exp(nats) / (math.exp(nats) + 1)
    of_clips = math.exp(nats) / (math.exp(nats) + 2)
    assert most_likely(moving, stills).probability == pytest.approx(of_stills)
    assert most_likely(moving, stills, clips).probability == pytest.approx(of_stills * of_clips)


def test_what_moves_is_settled_last_by_the_clip() -> None:
    moving = {"{n} dots": "{n} dots {go}", "no dot": "no dot {go}"}
    words = {"n": ["two", "six"], "go": ["rise", "fall"]}
    both = CaptionPatterns(patterns=["no dot", "{n} dots"], words=words, moving=moving)
    stills: list[str] = []

    def still(captions: Sequence[str]) -> list[float]:
        stills.extend(captions)
        return agreeing_with("six dots")(captions)

    assert most_likely(both, still).text == "six dots"
    assert most_likely(both, still, agreeing_with("two dots fall")).text == "six dots fall"
    assert {it.split()[-1] for it in stills} == {"dot", "dots"}


def test_all_captions_of_all_sentences_are_equally_probable_in_theirs() -> None:
    assert KNOWN.log_prior("nothing on {look}") == -math.log(3)
    assert KNOWN.log_prior("a {size} {shape} on {look}") == pytest.approx(-math.log(18))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"patterns": [], "words": {}}, "without a sentence"),
        ({"patterns": ["a {size} {shape}"], "words": {"size": ["big"]}}, "no words for shape"),
        ({"patterns": ["a dot"]}, "got patterns"),
        ({"patterns": ["a"], "words": {}, "moving": {"b": "c"}}, "none of the patterns"),
    ],
)
def test_what_cannot_be_said_is_refused(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionPatterns.from_config(config)
