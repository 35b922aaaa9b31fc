import numpy as np
import pytest

from starflow_v.data.scenes import Background, Scene, SceneObject, render, sample_scene
from starflow_v.data.scenes.motion import Straight
from starflow_v.data.scenes.rendering import coverage, render_background
from starflow_v.data.scenes.vocabulary import BACKGROUND_COLORS, OBJECT_COLORS, SHAPES
from starflow_v.evaluation.shape_reader import AREAS


def an_object(shape: str = "circle", x: float = 0.5, outlined: bool = False) -> SceneObject:
    path = Straight(start=(x, 0.5))
    return SceneObject(shape, "yellow", "big", "still", 0.2, path, outlined)


@pytest.mark.parametrize("shape", SHAPES)
def test_coverage_sums_to_the_area_of_the_shape(shape: str) -> None:
    alpha = coverage(an_object(shape), np.zeros(1), height=256, width=256)
    assert alpha.sum() == pytest.approx(AREAS[shape] * (0.2 * 256) ** 2, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_centre_of_mass_moves_between_pixels(shape: str) -> None:
    columns = np.arange(64) + 0.5
    for shift in (0.0, 0.25, 0.5):
        thing = an_object(shape, x=0.5 + shift / 64)
        alpha = coverage(thing, np.zeros(1), height=64, width=64)
        centre = (alpha.sum((0, 1)) * columns).sum() / alpha.sum()
        assert centre == pytest.approx(32 + shift, abs=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_is_the_border_of_the_shape_and_nothing_else(shape: str) -> None:
    filled = coverage(an_object(shape), np.zeros(1), height=128, width=128)
    line = coverage(an_object(shape, outlined=True), np.zeros(1), height=128, width=128)
    assert (line <= filled + 1e-6).all()
    assert line[0, 64, 64] == 0
    assert 0.1 < line.sum() / filled.sum() < 0.9


def test_plain_colours_are_those_of_the_vocabulary() -> None:
    frame = render(Scene(Background("gray"), (an_object(),)), num_frames=1)[0]
    assert tuple(frame[0, 0]) == BACKGROUND_COLORS["gray"]
    assert tuple(frame[32, 32]) == OBJECT_COLORS["yellow"]


def test_blurring_lessens_the_contrast_of_stripes_and_keeps_their_colour() -> None:
    sharp, soft = (
        render_background(Background("blue", "striped", 0.3, blurred), height=64, width=64)
        for blurred in (False, True)
    )
    assert soft.std((0, 1)).max() < 0.6 * sharp.std((0, 1)).max()
    np.testing.assert_allclose(soft.mean((0, 1)), BACKGROUND_COLORS["blue"], atol=3)


def test_a_later_start_continues_the_same_scene() -> None:
    scene = sample_scene(np.random.default_rng(3))
    whole = render(scene, num_frames=33)
    np.testing.assert_array_equal(render(scene, num_frames=17, start=2.0), whole[16:])


def test_any_size_is_the_same_picture() -> None:
    scene = sample_scene(np.random.default_rng(4))
    small = render(scene, num_frames=2, height=32, width=48).astype(float)
    large = render(scene, num_frames=2, height=128, width=192).astype(float)
    pooled = large.reshape(2, 32, 4, 48, 4, 3).mean((2, 4))
    assert np.abs(pooled - small).mean() < 1.5
