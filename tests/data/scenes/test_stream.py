from collections import Counter

import numpy as np
import pytest

from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights, is_held_out

SMALL = StreamSettings(num_frames=5, height=16, width=24)


def test_a_sample_is_determined_by_seed_and_index_alone() -> None:
    forwards = [SceneStream(3, SMALL).sample(index) for index in range(20)]
    backwards = [SceneStream(3, SMALL).sample(index) for index in reversed(range(20))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert (one.task, one.caption, one.scene) == (other.task, other.caption, other.scene)
        np.testing.assert_array_equal(one.frames, other.frames)
    others = [SceneStream(4, SMALL).sample(index) for index in range(20)]
    assert [it.scene for it in others] != [it.scene for it in forwards]


def test_tasks_come_as_often_as_they_weigh() -> None:
    weights = TaskWeights(video=2, image=1, extend=0, last=0, v2v=1)
    stream = SceneStream(0, StreamSettings(num_frames=1, height=8, width=8, tasks=weights))
    counts = Counter(stream.sample(index).task for index in range(400))
    assert counts["video"] == pytest.approx(200, abs=40)
    assert counts["image"] == pytest.approx(100, abs=30)
    assert counts["extend"] == counts["last"] == 0


def test_each_task_has_the_frames_that_it_needs() -> None:
    stream = SceneStream(1, SMALL)
    seen = set()
    for index in range(150):
        sample = stream.sample(index)
        seen.add(sample.task)
        frames = 1 if sample.task == "image" else 5
        assert sample.frames.shape == (frames, 16, 24, 3)
        assert sample.frames.dtype == np.uint8
        assert sample.fps == (0 if sample.task == "image" else 8)
        assert (sample.source is not None) == (sample.edit is not None) == (sample.task == "v2v")
        assert (sample.mask is not None) == (sample.edit in {"inpaint", "outpaint"})
        if sample.source is not None:
            assert sample.source.shape == sample.frames.shape
            if sample.mask is not None:
                seen_pixels = ~sample.mask
                np.testing.assert_array_equal(
                    sample.source[:, seen_pixels], sample.frames[:, seen_pixels]
                )
    assert seen == {"video", "image", "extend", "last", "v2v"}


def test_training_never_shows_a_held_out_combination() -> None:
    captioned = TaskWeights(v2v=0)
    settings = StreamSettings(num_frames=1, height=8, width=8, tasks=captioned)
    train, test = SceneStream(0, settings), SceneStream(0, settings, held_out=True)
    assert not any(is_held_out(train.sample(index).scene) for index in range(200))
    assert all(is_held_out(test.sample(index).scene) for index in range(50))


def test_only_the_weighted_edits_appear() -> None:
    only_v2v = TaskWeights(video=0, image=0, extend=0, last=0, v2v=1)
    settings = StreamSettings(
        num_frames=5, height=8, width=8, tasks=only_v2v, edits={"recolor": 1.0, "remove": 0.0}
    )
    edits = {SceneStream(0, settings).sample(index).edit for index in range(30)}
    assert edits == {"recolor"}


def test_weights_that_are_no_distribution_are_refused() -> None:
    with pytest.raises(ValueError, match="task weights"):
        TaskWeights(video=-1).shares()
