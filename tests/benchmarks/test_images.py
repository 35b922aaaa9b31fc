"""What the benchmarks of images ask of samples."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
import benchmarks.embedded_quality as quality
import benchmarks.unconditional_digits as unconditional
from starflow_v.data.digits import read_digits
from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights, canonical_caption


def test_real_digits_are_readable_and_cover_each_other_and_noise_does_not() -> None:
    test, train = read_digits("test").images, read_digits("train").images
    noise = np.random.default_rng(0).integers(0, 17, (200, 8, 8))
    classifier = unconditional.fit_classifier()
    real = unconditional.judge(train[:300], test, classifier)
    assert min(real["precision"], real["recall"], real["readable"]) > 0.7
    assert real["evenness"] > 0.98
    bad = unconditional.judge(noise, test, classifier)
    assert bad["precision"] == 0 and bad["readable"] < real["readable"]
    one = unconditional.judge(train[:1].repeat(100, 0), test, classifier)
    assert one["evenness"] == 0 and one["recall"] < 0.1


def test_stills_are_judged_shape_by_shape() -> None:
    tasks = TaskWeights(video=0, image=1, extend=0, last=0, v2v=0)
    stream = SceneStream(0, StreamSettings(two_objects=0.0, tasks=tasks), held_out=True)
    samples = [stream.sample(index) for index in range(12)]
    captions = [canonical_caption(it.scene, moving=False) for it in samples]
    shapes = [it.scene.objects[0].shape for it in samples]
    clips = [it.frames for it in samples]
    right = quality.rightly_shown(clips, captions, shapes)
    assert right["all"] == 1 and set(right["by_shape"].values()) == {1.0}
    black = [np.zeros_like(it) for it in clips]
    assert quality.rightly_shown(black, captions, shapes)["by_shape"] == dict.fromkeys(
        sorted(set(shapes)), 0.0
    )
