"""Procedural scenes: named shapes that move on named backgrounds, endless and without a download.

Read `vocabulary` for what there is, `scene` for how it is described, `rendering` for how it becomes
pixels, `captions` and `wordings` for how it becomes text, `edits` for pairs with an instruction,
and `stream` for the data set that training reads.
"""

from starflow_v.data.scenes.attributes import Attributes
from starflow_v.data.scenes.captions import canonical_caption, sample_caption
from starflow_v.data.scenes.edits import EDITS, Edit, sample_edit
from starflow_v.data.scenes.parsing import parse_caption, parse_objects
from starflow_v.data.scenes.patterns import source_caption, source_patterns
from starflow_v.data.scenes.regions import Region
from starflow_v.data.scenes.rendering import render
from starflow_v.data.scenes.scene import Background, Scene, SceneObject, SceneSettings, sample_scene
from starflow_v.data.scenes.stream import (
    Sample,
    SceneStream,
    StreamSettings,
    TaskWeights,
    is_held_out,
)
from starflow_v.data.scenes.wordings import known_words

__all__ = [
    "EDITS",
    "Attributes",
    "Background",
    "Edit",
    "Region",
    "Sample",
    "Scene",
    "SceneObject",
    "SceneSettings",
    "SceneStream",
    "StreamSettings",
    "TaskWeights",
    "canonical_caption",
    "is_held_out",
    "known_words",
    "parse_caption",
    "parse_objects",
    "render",
    "sample_caption",
    "sample_edit",
    "sample_scene",
    "source_caption",
    "source_patterns",
]
