import numpy as np
import pytest

from starflow_v.data.pixels import hide
from starflow_v.data.scenes import EDITS, SceneSettings, render, sample_edit
from starflow_v.evaluation.edit_checker import EditVerdict, check_edit


@pytest.mark.parametrize("kind", EDITS)
def test_the_target_passes_and_the_source_does_not(kind: str) -> None:
    rng = np.random.default_rng(0)
    unedited = 0
    for _ in range(10):
        edit = sample_edit(rng, kind, SceneSettings(two_objects=0.0))
        assert check_edit(render(edit.after), edit) == EditVerdict(done=True, kept=True)
        source = render(edit.before)
        if edit.region is not None:
            source = hide(source, edit.region.mask(height=64, width=64))
        unedited += check_edit(source, edit).done
    assert unedited <= (3 if kind in {"inpaint", "outpaint"} else 0)


def test_a_target_that_changes_more_than_was_asked_is_done_but_not_kept() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        edit = sample_edit(rng, "recolor", SceneSettings(two_objects=0.0))
        other = sample_edit(rng, "change shape", SceneSettings(two_objects=0.0))
        while other.after.objects[0].shape == edit.after.objects[0].shape:
            other = sample_edit(rng, "change shape", SceneSettings(two_objects=0.0))
        thing = edit.after.objects[0]
        vandal = type(thing)(
            other.after.objects[0].shape,
            thing.color,
            thing.size,
            thing.motion,
            thing.radius,
            thing.trajectory,
        )
        scene = type(edit.after)(edit.after.background, (vandal,))
        assert check_edit(render(scene), edit) == EditVerdict(done=True, kept=False)
