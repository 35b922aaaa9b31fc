"""What edits are told of their sources can be found among the patterns."""

from collections.abc import Callable, Sequence

import numpy as np

from starflow_v.data.scenes import (
    canonical_caption,
    sample_edit,
    sample_scene,
    source_caption,
    source_patterns,
)
from starflow_v.data.scenes.scene import SceneSettings
from starflow_v.text import most_likely


def likeness(true: str) -> Callable[[Sequence[str]], list[float]]:
    """Likelihoods that pay for each word in its place, and for being as long."""

    def worth(caption: str) -> float:
        ours, theirs = caption.split(), true.split()
        right = sum(a == b for a, b in zip(ours, theirs, strict=False))
        return 20.0 * right - 30.0 * abs(len(ours) - len(theirs))

    return lambda captions: [worth(it) for it in captions]


def test_every_sources_caption_is_one_of_them() -> None:
    rng, seen = np.random.default_rng(0), set()
    settings = SceneSettings(two_objects=0.4)
    for number in range(60):
        scene = sample_edit(rng, "remove", settings).after if number % 3 else None
        scene = scene or sample_scene(rng, settings)
        seen.add(len(scene.objects))
        still, clip = canonical_caption(scene, moving=False), source_caption(scene)
        assert (still == clip) == (len(scene.objects) != 1)
        assert most_likely(source_patterns(), likeness(still), likeness(clip)).text == clip
    assert seen == {0, 1, 2}
