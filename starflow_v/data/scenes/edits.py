"""Edits: a scene, an instruction, and the scene as it is when the instruction is carried out.

Whatever the instruction does not name stays as it was, to the pixel. A masked edit also says what
part of the source is hidden under gray.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from starflow_v.data.scenes import wordings
from starflow_v.data.scenes.captions import (
    Chooser,
    canonical_caption,
    describe_look,
    describe_motion,
    describe_object,
)
from starflow_v.data.scenes.motion import Backwards, opposite
from starflow_v.data.scenes.regions import Region
from starflow_v.data.scenes.scene import (
    Scene,
    SceneObject,
    SceneSettings,
    add_object,
    sample_object,
    sample_scene,
)
from starflow_v.data.scenes.vocabulary import (
    BACKGROUND_COLORS,
    DIRECTIONS,
    OBJECT_COLORS,
    SHAPES,
    contrasts,
)
from starflow_v.data.scenes.wordings import article

NO_SLOTS: Final[Mapping[str, str]] = MappingProxyType({})
SAME_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An instruction between two scenes."""

    kind: str
    instruction: str
    before: Scene
    after: Scene
    region: Region | None = None


def sample_edit(rng: np.random.Generator, kind: str, settings: SceneSettings) -> Edit:
    """A random edit of one of the kinds in `EDITS`, with a random wording of its instruction."""
    if kind not in EDITS:
        raise ValueError(f"unknown kind of edit {kind!r}; there are {', '.join(EDITS)}")
    return EDITS[kind](rng, settings)


def _instruct(
    rng: np.random.Generator, kind: str, scene: Scene, slots: Mapping[str, str] = NO_SLOTS
) -> str:
    """One of the kind's instructions; the main object is named clearly if it is not alone."""
    words = Chooser(rng)
    names = wordings.NAMES if len(scene.objects) == 1 else wordings.NAMES[:1]
    if scene.objects:
        thing = scene.objects[0]
        name = words.choose(names).format(
            color=words.choose(wordings.COLOR_WORDS[thing.color]),
            shape=words.choose(wordings.SHAPE_WORDS[thing.shape]),
        )
        slots = {**slots, "name": name}
    options = wordings.INSTRUCTIONS[kind]
    if not scene.objects:
        options = [text for text in options if "{name}" not in text]
    elif len(scene.objects) > 1 and kind in {"recolor", "change shape"}:
        options = [text for text in options if "{name}" in text]
    return words.choose(options).format(**slots)


def _with_main(scene: Scene, thing: SceneObject) -> Scene:
    return replace(scene, objects=(thing, *scene.objects[1:]))


def _other(
    rng: np.random.Generator,
    options: list[str],
    *,
    avoid: set[str],
    weights: Mapping[str, float] = SAME_WEIGHTS,
) -> str:
    """One of the options, by their weights, unless only some without any are left."""
    left = [option for option in options if option not in avoid]
    shares = np.asarray([weights.get(option, 1.0) for option in left])
    weighted = bool(weights) and shares.any()
    return str(rng.choice(left, p=shares / shares.sum() if weighted else None))


def recolor(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, settings)
    taken = {thing.color for thing in before.objects}
    options = [c for c in OBJECT_COLORS if contrasts(c, before.background.color)]
    color = _other(rng, options, avoid=taken)
    word = str(rng.choice(wordings.COLOR_WORDS[color]))
    return Edit(
        kind="recolor",
        instruction=_instruct(rng, "recolor", before, {"color": word}),
        before=before,
        after=_with_main(before, replace(before.objects[0], color=color)),
    )


def change_shape(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, settings)
    shape = _other(rng, list(SHAPES), avoid={before.objects[0].shape}, weights=settings.shapes)
    word = article(str(rng.choice(wordings.SHAPE_WORDS[shape])))
    return Edit(
        kind="change shape",
        instruction=_instruct(rng, "change shape", before, {"shape": word}),
        before=before,
        after=_with_main(before, replace(before.objects[0], shape=shape)),
    )


def change_background(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, settings)
    taken = {before.background.color, *(thing.color for thing in before.objects)}
    color = _other(rng, list(BACKGROUND_COLORS), avoid=taken)
    background = replace(before.background, color=color)
    look = describe_look(Chooser(rng), background)
    return Edit(
        kind="change background",
        instruction=_instruct(rng, "change background", before, {"look": look}),
        before=before,
        after=replace(before, background=background),
    )


def blur_background(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, replace(settings, gradient=0.0, striped=1.0))
    return Edit(
        kind="blur background",
        instruction=_instruct(rng, "blur background", before),
        before=before,
        after=replace(before, background=replace(before.background, blurred=True)),
    )


def remove(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, replace(settings, two_objects=0.4))
    return Edit(
        kind="remove",
        instruction=_instruct(rng, "remove", before),
        before=before,
        after=replace(before, objects=before.objects[1:]),
    )


def add(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, replace(settings, two_objects=0.0))
    if rng.uniform() < 0.3:
        before = replace(before, objects=())
        thing = sample_object(rng, before.background, settings)
        after = replace(before, objects=(thing,))
    else:
        after = add_object(rng, before, settings)
    words = Chooser(rng)
    new = article(describe_object(words, after.objects[-1], with_size=words.flip(0.7)))
    finite, participle = describe_motion(words, after.objects[-1])
    slots = {"participle": f"{new} {participle}", "clause": f"{new} that {finite}"}
    instruction = _instruct(rng, "add", before, slots)
    return Edit(kind="add", instruction=instruction, before=before, after=after)


def reverse_motion(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    """The target is the source played backwards, from its end at `settings.duration`."""
    before = sample_scene(rng, replace(settings, two_objects=0.0))
    while before.objects[0].motion not in DIRECTIONS:
        before = sample_scene(rng, replace(settings, two_objects=0.0))
    thing = before.objects[0]
    turned = replace(
        thing,
        motion=opposite(thing.motion),
        trajectory=Backwards(thing.trajectory, settings.duration),
    )
    return Edit(
        kind="reverse motion",
        instruction=_instruct(rng, "reverse motion", before),
        before=before,
        after=_with_main(before, turned),
    )


def outline(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    before = sample_scene(rng, settings)
    return Edit(
        kind="outline",
        instruction=_instruct(rng, "outline", before),
        before=before,
        after=_with_main(before, replace(before.objects[0], outlined=True)),
    )


def inpaint(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    """A rectangle over a place that the main object passes is hidden, in all frames."""
    scene = sample_scene(rng, settings)
    moment = np.asarray([rng.uniform(0, settings.duration)])
    x, y = scene.objects[0].trajectory.positions(moment)[0] + rng.uniform(-0.2, 0.2, 2)
    width, height = rng.uniform(0.3, 0.6, 2)
    left = float(np.clip(x - width / 2, 0, 1 - width))
    top = float(np.clip(y - height / 2, 0, 1 - height))
    return _masked(rng, "inpaint", scene, Region(left, top, left + width, top + height))


def outpaint(rng: np.random.Generator, settings: SceneSettings) -> Edit:
    """Only a rectangle around the middle is seen."""
    scene = sample_scene(rng, settings)
    left, top, right, bottom = rng.uniform(0.06, 0.25, 4)
    region = Region(left, top, 1 - right, 1 - bottom, hides_inside=False)
    return _masked(rng, "outpaint", scene, region)


def _masked(rng: np.random.Generator, kind: str, scene: Scene, region: Region) -> Edit:
    caption = canonical_caption(scene, with_size=bool(rng.uniform() < 0.5))
    instruction = _instruct(rng, kind, scene, {"caption": caption})
    return Edit(kind=kind, instruction=instruction, before=scene, after=scene, region=region)


EDITS: Final[dict[str, Callable[[np.random.Generator, SceneSettings], Edit]]] = {
    "recolor": recolor,
    "change shape": change_shape,
    "change background": change_background,
    "blur background": blur_background,
    "remove": remove,
    "add": add,
    "reverse motion": reverse_motion,
    "outline": outline,
    "inpaint": inpaint,
    "outpaint": outpaint,
}
"""Kind of edit -> function that samples one."""
