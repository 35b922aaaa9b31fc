"""The plainest captions of stills, all of them: what a model that knows scenes can choose from."""

from __future__ import annotations

from starflow_v.data.scenes import wordings
from starflow_v.data.scenes.vocabulary import (
    BACKGROUND_COLORS,
    OBJECT_COLORS,
    RADII,
    SHAPES,
)
from starflow_v.text.patterns import CaptionPatterns

_THING = "a {{size{0}}} {{color{0}}} {{shape{0}}}"
_PLACE = "a {hue}{shade} background"


def still_patterns() -> CaptionPatterns:
    """Those of `canonical_caption(scene, moving=False)`, with no, one or two objects; stripes,
    which only sources of one kind of edit have, are left out.

    >>> still_patterns().patterns[1]
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
        words={
            **things,
            **{f"{place}_2": words for place, words in things.items()},
            "hue": [wordings.COLOR_WORDS[it][0] for it in BACKGROUND_COLORS],
            "shade": ["", f" {wordings.PATTERN_WORDS['gradient'][0]}"],
        },
    )
