import numpy as np
import pytest

from starflow_v.data.pixels import HIDDEN, hide
from starflow_v.data.scenes import (
    EDITS,
    Attributes,
    SceneSettings,
    known_words,
    render,
    sample_edit,
)
from starflow_v.data.scenes.regions import Region
from starflow_v.data.scenes.wordings import split_words

CHANGES = {
    "recolor": {"color"},
    "change shape": {"shape"},
    "change background": {"background"},
    "outline": {"outlined"},
    "reverse motion": {"motion"},
    "blur background": set(),
    "inpaint": set(),
    "outpaint": set(),
}


@pytest.mark.parametrize("kind", EDITS)
def test_instructions_are_made_of_known_words(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        edit = sample_edit(rng, kind, SceneSettings(two_objects=0.3))
        assert edit.kind == kind
        assert known_words().issuperset(split_words(edit.instruction)), edit.instruction


@pytest.mark.parametrize(("kind", "expected"), CHANGES.items())
def test_an_edit_changes_what_it_names_of_the_main_object(kind: str, expected: set[str]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        edit = sample_edit(rng, kind, SceneSettings())
        before, after = vars(Attributes.of(edit.before)[0]), vars(Attributes.of(edit.after)[0])
        assert {name for name in before if before[name] != after[name]} == expected
        assert edit.before.objects[1:] == edit.after.objects[1:]
        assert (edit.region is not None) == (kind in {"inpaint", "outpaint"})


@pytest.mark.parametrize(
    ("shapes", "stars"),
    [({"star": 8}, 0.8), ({"star": 0}, 0.0), ({"circle": 1, "square": 0, "triangle": 0}, 1.0)],
)
def test_targets_of_a_new_shape_are_weighted(shapes: dict[str, float], stars: float) -> None:
    """The hardest shape was drawn more often for clips, and less often for edits."""
    rng = np.random.default_rng(0)
    edits = [sample_edit(rng, "change shape", SceneSettings(shapes=shapes)) for _ in range(300)]
    pairs = [(it.before.objects[0].shape, it.after.objects[0].shape) for it in edits]
    assert all(before != after for before, after in pairs)
    made = [after == "star" for before, after in pairs if before != "star"]
    assert np.mean(made) == pytest.approx(stars, abs=0.12)


def test_remove_and_add_leave_the_others_alone() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        removed = sample_edit(rng, "remove", SceneSettings())
        assert removed.after.objects == removed.before.objects[1:]
        added = sample_edit(rng, "add", SceneSettings())
        assert added.after.objects[:-1] == added.before.objects
        assert added.after.objects[-1].shape in Attributes.of(added.after)[-1].shape


def test_an_object_in_company_is_named_by_colour_and_shape() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        edit = sample_edit(rng, "recolor", SceneSettings(two_objects=1.0))
        words = split_words(edit.instruction)
        assert {"it", "object"}.isdisjoint(words), edit.instruction


def test_reversed_motion_is_the_source_played_backwards() -> None:
    edit = sample_edit(np.random.default_rng(4), "reverse motion", SceneSettings(duration=2.0))
    source, target = render(edit.before).astype(int), render(edit.after).astype(int)
    assert np.abs(target - source[::-1]).max() <= 1


def test_a_mask_hides_its_region_and_nothing_else() -> None:
    region = Region(0.25, 0.0, 0.75, 0.5)
    mask = region.mask(height=8, width=8)
    assert mask.sum() == 16
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    hidden = hide(frames, mask)
    assert (hidden[:, mask] == HIDDEN).all()
    assert (hidden[:, ~mask] == 0).all()
    outside = Region(0.25, 0.0, 0.75, 0.5, hides_inside=False)
    np.testing.assert_array_equal(outside.mask(height=8, width=8), ~mask)


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'resize'.*recolor"):
        sample_edit(np.random.default_rng(0), "resize", SceneSettings())
