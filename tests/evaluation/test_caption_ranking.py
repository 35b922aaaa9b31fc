from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from starflow_v.data.scenes import Attributes, canonical_caption, parse_objects, sample_scene
from starflow_v.data.scenes.scene import SceneSettings
from starflow_v.evaluation.caption_ranking import RankingCase, rank_accuracy, wrong_captions

FRAMES = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("two_objects", [0.0, 1.0])
def test_wrong_captions_change_one_attribute(two_objects: float) -> None:
    rng = np.random.default_rng(0)
    changed = set()
    for _ in range(30):
        scene = sample_scene(rng, SceneSettings(two_objects=two_objects))
        wrong = wrong_captions(scene, rng)
        assert len({*wrong, canonical_caption(scene)}) == 8
        true = parse_objects(canonical_caption(scene))[0]
        for caption in wrong:
            seen = parse_objects(caption)[0]
            names = [
                n for n in Attributes.__dataclass_fields__ if getattr(seen, n) != getattr(true, n)
            ]
            assert len(names) == 1
            changed.update(names)
    assert changed == {"color", "shape", "motion", "background"}


def test_a_scene_without_objects_has_no_wrong_captions() -> None:
    scene = replace(sample_scene(np.random.default_rng(0), SceneSettings()), objects=())
    with pytest.raises(ValueError, match="without objects"):
        wrong_captions(scene, np.random.default_rng(0))


def test_accuracy_and_margin() -> None:
    def rank(frames: object, captions: list[str], **options: object) -> SimpleNamespace:
        return SimpleNamespace(scores=[SimpleNamespace(bits=float(bits)) for bits in captions])

    cases = [
        RankingCase(frames=FRAMES, captions=bits) for bits in (["1", "2", "3"], ["2", "3", "1"])
    ]
    assert rank_accuracy(SimpleNamespace(rank=rank), cases) == {"accuracy": 0.5, "margin": 0.0}
    with pytest.raises(ValueError, match="at least one clip"):
        rank_accuracy(SimpleNamespace(rank=rank), [])
