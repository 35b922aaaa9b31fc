"""The checker against scenes whose truth is known, sharp and as a codec leaves them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from starflow_v.data.scenes import (
    Attributes,
    Background,
    Scene,
    SceneSettings,
    canonical_caption,
    render,
    sample_scene,
)
from starflow_v.evaluation.scene_checker import check, read_objects, read_scene

Clip = NDArray[np.uint8]
NAMES = ("color", "shape", "motion", "background", "size", "pattern")


def blurred(clip: Clip) -> NDArray[np.float64]:
    """A 5x5 binomial blur."""
    kernel = np.asarray([1, 4, 6, 4, 1]) / 16
    padded = np.pad(clip.astype(float), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    rows = sum(w * padded[:, i : i + clip.shape[1]] for i, w in enumerate(kernel))
    return np.asarray(sum(w * rows[:, :, i : i + clip.shape[2]] for i, w in enumerate(kernel)))


def sharp(clip: Clip, rng: np.random.Generator) -> Clip:
    return clip


def blurred_and_noisy(clip: Clip, rng: np.random.Generator) -> Clip:
    noise = rng.normal(0, 10, clip.shape)
    return np.clip(blurred(clip) + noise, 0, 255).astype(np.uint8)


def blotched(clip: Clip, rng: np.random.Generator) -> Clip:
    """Errors that are constant on blocks of 8x8 pixels, as from coarse tokens or from H.264."""
    errors = rng.normal(0, 12, (len(clip), clip.shape[1] // 8, clip.shape[2] // 8, 3))
    spread = errors.repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(blurred(clip) + spread, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("spoil", [sharp, blurred_and_noisy, blotched])
def test_true_scenes_are_read_right(
    spoil: Callable[[Clip, np.random.Generator], Clip],
) -> None:
    rng = np.random.default_rng(0)
    count = 60
    right = dict.fromkeys((*NAMES, "all"), 0)
    for _ in range(count):
        scene = sample_scene(rng, SceneSettings(two_objects=0.0))
        verdict = check(spoil(render(scene), rng), canonical_caption(scene))
        for name in right:
            right[name] += bool(getattr(verdict, name))
    assert min(right.values()) >= 0.99 * count, right


@pytest.mark.slow
def test_two_thousand_true_scenes_are_read_right() -> None:
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(2000):
        scene = sample_scene(rng)
        verdicts.append(check(render(scene), canonical_caption(scene)))
    for name in (*NAMES, "all"):
        assert np.mean([bool(getattr(it, name)) for it in verdicts]) >= 0.99, name


def test_both_of_two_objects_are_checked() -> None:
    rng = np.random.default_rng(2)
    right = 0
    for _ in range(12):
        scene = sample_scene(rng, SceneSettings(two_objects=1.0))
        clip, (_, second) = render(scene), scene.objects
        right += check(clip, canonical_caption(scene)).all
        other = "star" if second.shape != "star" else "circle"
        lie = canonical_caption(scene, with_size=False).replace(
            f"{second.color} {second.shape}", f"{second.color} {other}"
        )
        assert check(clip, lie).shape is False
    assert right >= 11  # one may hide the other


def test_each_wrong_word_is_found_and_only_that_one() -> None:
    rng = np.random.default_rng(3)
    scene = sample_scene(rng, SceneSettings(two_objects=0.0, gradient=0.0))
    while scene.objects[0].motion != "left" or scene.background.color != "black":
        scene = sample_scene(rng, SceneSettings(two_objects=0.0, gradient=0.0))
    thing, clip = scene.objects[0], render(scene)
    caption = canonical_caption(scene)
    lies = {
        "color": (thing.color, "red" if thing.color != "red" else "cyan"),
        "shape": (thing.shape, "star" if thing.shape != "star" else "square"),
        "size": (thing.size, "big" if thing.size == "small" else "small"),
        "motion": ("moves left", "moves up and left"),
        "background": ("black", "gray"),
        "pattern": ("black background", "black gradient background"),
    }
    for wrong, (old, new) in lies.items():
        verdict = check(clip, caption.replace(old, new))
        assert {name for name in NAMES if not getattr(verdict, name)} == {wrong}
        assert verdict.all == (wrong in {"size", "pattern"})


def test_what_a_caption_does_not_say_is_not_judged() -> None:
    scene = sample_scene(np.random.default_rng(4), SceneSettings(two_objects=0.0))
    verdict = check(render(scene), f"a {scene.objects[0].shape}")
    assert verdict.shape is True
    assert verdict.color is verdict.motion is verdict.background is None
    assert verdict.all


def test_other_sizes_and_lengths_are_read_too() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        scene = sample_scene(rng, SceneSettings(two_objects=0.0))
        clip = render(scene, num_frames=33, height=96, width=160, fps=16)
        assert check(clip, canonical_caption(scene)).all


def test_motion_is_read_through_the_border_where_an_object_comes_in_again() -> None:
    rng = np.random.default_rng(6)
    for _ in range(10):
        scene = sample_scene(rng, SceneSettings(two_objects=0.0))
        assert read_scene(render(scene, num_frames=81)).motion == scene.objects[0].motion


def test_a_still_tells_no_motion() -> None:
    scene = sample_scene(np.random.default_rng(7), SceneSettings(two_objects=0.0))
    seen = read_scene(render(scene, num_frames=1))
    assert seen.motion is None
    assert seen.shape == scene.objects[0].shape


@pytest.mark.parametrize("pattern", ["plain", "gradient", "striped"])
def test_an_empty_scene_is_just_a_background(pattern: str) -> None:
    clip = render(Scene(Background("green", pattern, 0.5), ()))
    assert read_objects(clip) == (Attributes(background="green", pattern=pattern),)


def test_noise_is_read_without_an_accident() -> None:
    noise = np.random.default_rng(8).integers(0, 256, (17, 64, 64, 3), dtype=np.uint8)
    assert not check(noise, "a red circle moves right on a blue background").all


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((17, 64, 64, 3), np.float32),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
    ],
)
def test_what_is_no_clip_is_refused(wrong: Clip) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        read_scene(wrong)


def test_a_large_blob_at_the_border_and_a_small_one_inside() -> None:
    """The clearest frames were once those inside, then none of them was large enough to be kept."""
    frames = np.zeros((9, 64, 64, 3), np.uint8)
    frames[0, :40] = 255
    frames[1:, 30:35, 30:35] = 255
    assert read_scene(frames).background == "black"
