from dataclasses import replace

import numpy as np
import pytest

from starflow_v.data.scenes import (
    Attributes,
    Background,
    Scene,
    SceneObject,
    SceneSettings,
    canonical_caption,
    known_words,
    parse_caption,
    parse_objects,
    sample_caption,
    sample_scene,
)
from starflow_v.data.scenes.motion import Straight
from starflow_v.data.scenes.wordings import split_words

STILL = Straight(start=(0.5, 0.5))


def test_the_canonical_caption() -> None:
    red = SceneObject("circle", "red", "big", "up and left", 0.2, STILL)
    star = SceneObject("star", "orange", "small", "bounces", 0.13, STILL)
    gray = Background("gray")
    assert (
        canonical_caption(Scene(gray, (red,)))
        == "a big red circle moves up and left on a gray background"
    )
    assert (
        canonical_caption(
            Scene(replace(gray, color="blue"), (replace(red, motion="right"),)), with_size=False
        )
        == "a red circle moves right on a blue background"
    )
    assert (
        canonical_caption(Scene(gray, (replace(star, motion="still"), red)), with_size=False)
        == "an orange star stays still and a red circle moves up and left on a gray background"
    )
    assert (
        canonical_caption(Scene(replace(gray, pattern="gradient"), (star,)), moving=False)
        == "a small orange star on a gray gradient background"
    )
    assert canonical_caption(Scene(gray, ())) == "nothing on a gray background"


@pytest.mark.parametrize("moving", [True, False])
def test_every_wording_is_parsed_back_and_made_of_known_words(moving: bool) -> None:
    rng = np.random.default_rng(0)
    captions = set()
    for _ in range(1500):
        scene = sample_scene(rng, SceneSettings(two_objects=0.2, striped=0.1))
        caption = sample_caption(rng, scene, moving=moving)
        captions.add(caption)
        assert known_words().issuperset(split_words(caption)), caption
        told = parse_objects(caption)
        for true, parsed in zip(Attributes.of(scene), told, strict=True):
            said = replace(
                true,
                motion=true.motion if moving else None,
                size=true.size if parsed.size else None,
                outlined=None,
            )
            assert parsed == said, caption
    assert len(captions) > 1000


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        (
            "A yellow star bounces, on black.",
            Attributes(
                color="yellow", shape="star", motion="bounces", background="black", pattern="plain"
            ),
        ),
        (
            "the blue square moves down-right",
            Attributes(color="blue", shape="square", motion="down and right"),
        ),
        ("a tiny ball does not move", Attributes(shape="circle", size="small", motion="still")),
        (
            "a green box rises on a red background with a gradient",
            Attributes(
                color="green", shape="square", motion="up", background="red", pattern="plain"
            ),
        ),
        ("change the background to plain black", Attributes(background="black", pattern="plain")),
        ("a cat", Attributes()),
        ("", Attributes()),
    ],
)
def test_captions_as_people_write_them(caption: str, told: Attributes) -> None:
    assert parse_caption(caption) == told


def test_sampled_captions_are_determined_by_the_generator() -> None:
    scene = sample_scene(np.random.default_rng(0))
    first, second = (
        [sample_caption(rng, scene) for _ in range(5)]
        for rng in (np.random.default_rng(9), np.random.default_rng(9))
    )
    assert first == second
