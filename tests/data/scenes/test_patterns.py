"""All plain captions of stills can be found among the patterns."""

import numpy as np

from starflow_v.data.scenes import canonical_caption, sample_edit, sample_scene, still_patterns
from starflow_v.data.scenes.scene import SceneSettings
from starflow_v.text import most_likely


def test_every_scenes_plainest_caption_is_one_of_them() -> None:
    rng, seen = np.random.default_rng(0), set()
    for number in range(60):
        settings = SceneSettings(two_objects=0.4)
        scene = sample_edit(rng, "remove", settings).after if number % 3 else None
        scene = scene or sample_scene(rng, settings)
        true = canonical_caption(scene, moving=False)
        seen.add(len(scene.objects))

        def worth(caption: str, true: str = true) -> float:
            ours, theirs = caption.split(), true.split()
            right = sum(a == b for a, b in zip(ours, theirs, strict=False))
            return 20.0 * right - 30.0 * abs(len(ours) - len(theirs))

        found = most_likely(still_patterns(), lambda captions, worth=worth: map(worth, captions))
        assert found == true
    assert seen == {0, 1, 2}
