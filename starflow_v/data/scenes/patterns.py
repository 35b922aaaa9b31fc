"""What edits are told of their sources, and all captions of that kind: what a model that knows
scenes can choose from."""

from __future__ import annotations

from starflow_v.data.scenes import wordings
from starflow_v.data.scenes.captions import canonical_caption
from starflow_v.data.scenes.scene import Scene
from starflow_v.data.scenes.vocabulary import (
    BACKGROUND_COLORS,
    DIRECTIONS,
    MOTIONS,
    OBJECT_COLORS,
    RADII,
    SHAPES,
)
from starflow_v.text import CaptionPatterns

_THING = "a {{size{0}}} {{color{0}}} {{shape{0}}}"
_PLACE = "a {hue}{shade} background"


def source_caption(scene: Scene) -> str:
    """The canonical caption; of two things without motions, which with an instruction would be
    longer than the small model's 32 words."""
    return canonical_caption(scene, moving=len(scene.objects) == 1)


def source_patterns() -> CaptionPatterns:
    """Those of `source_caption`, with no, one or two objects; stripes, which only the sources of
    one kind of edit have, are left out.

    >>> source_patterns().patterns[1]
    'a {size} {color} {shape} on a {hue}{shade} background'
    """
    one, other = _THING.format(""), _THING.format("_2")
    things = {
        "size": [wordings.SIZE_WORDS[it][0] for it in RADII],
        "color": [wordings.COLOR_WORDS[it][0] for it in OBJECT_COLORS],
        "shape": [wordings.SHAPE_WORDS[it][0] for it in SHAPES],
    }
    return CaptionPatterns(
        patterns=[
            wordings.EMPTY[0].format(background=_PLACE),
            f"{one} on {_PLACE}",
            f"{one} and {other} on {_PLACE}",
        ],
        moving={f"{one} on {_PLACE}": f"{one} {{motion}} on {_PLACE}"},
        words={
            **things,
            **{f"{place}_2": words for place, words in things.items()},
            "motion": [_motion(it) for it in MOTIONS],
            "hue": [wordings.COLOR_WORDS[it][0] for it in BACKGROUND_COLORS],
            "shade": ["", f" {wordings.PATTERN_WORDS['gradient'][0]}"],
        },
    )


def _motion(name: str) -> str:
    """The finite verb of a canonical caption, with its direction."""
    others = {"bounces": wordings.BOUNCE_VERBS, "still": wordings.STILL_VERBS}
    verb, _ = others.get(name, wordings.MOVE_VERBS)[0]
    return f"{verb} {name}" if name in DIRECTIONS else verb
