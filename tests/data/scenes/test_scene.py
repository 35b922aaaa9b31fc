from collections import Counter
from typing import Any

import numpy as np
import pytest

from starflow_v.data.scenes import SceneSettings, sample_scene
from starflow_v.data.scenes.vocabulary import BACKGROUND_COLORS, MOTIONS, OBJECT_COLORS, SHAPES


def test_everything_in_the_vocabulary_appears_and_nothing_is_invisible() -> None:
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, SceneSettings(two_objects=0.5)) for _ in range(800)]
    things = [thing for scene in scenes for thing in scene.objects]
    assert {thing.color for thing in things} == set(OBJECT_COLORS)
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.motion for thing in things} == set(MOTIONS)
    assert {scene.background.color for scene in scenes} == set(BACKGROUND_COLORS)
    for scene in scenes:
        colors = [scene.background.color, *(thing.color for thing in scene.objects)]
        assert len(set(colors)) == len(colors)


def test_settings_are_the_probabilities() -> None:
    settings = SceneSettings(two_objects=0.25, gradient=0.5, striped=0.5)
    rng = np.random.default_rng(1)
    scenes = [sample_scene(rng, settings) for _ in range(1000)]
    patterns = Counter(scene.background.pattern for scene in scenes)
    assert patterns["plain"] == 0
    assert patterns["gradient"] == pytest.approx(500, abs=60)
    assert sum(len(scene.objects) == 2 for scene in scenes) == pytest.approx(250, abs=50)


def test_shapes_are_drawn_as_often_as_their_weights_say() -> None:
    rng, settings = np.random.default_rng(2), SceneSettings(shapes={"star": 5, "circle": 0})
    shapes = Counter(sample_scene(rng, settings).objects[0].shape for _ in range(700))
    assert shapes["star"] == pytest.approx(500, abs=60)
    assert shapes["square"] == pytest.approx(100, abs=40)
    assert shapes["circle"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"two_objects": 1.5},
        {"gradient": 0.7, "striped": 0.6},
        {"duration": 0.0},
        {"shapes": {"hexagon": 1.0}},
        {"shapes": {"star": -1.0}},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SceneSettings(**wrong)
