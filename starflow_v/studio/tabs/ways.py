"""How a clip is edited: by an instruction, with a part of the picture to be filled in, or by
forgetting a part of its noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from starflow_v.data.scenes import Region
from starflow_v.pipelines.defaults import Defaults
from starflow_v.studio import pages
from starflow_v.studio.asking import INSIDE, OUTSIDE, read_region
from starflow_v.studio.studio import MASK, Studio
from starflow_v.studio.tabs.source import Source

INSTRUCT, FILL, FORGET = "instruct", "fill", "forget"
LABELS = {INSTRUCT: "By instruction", FILL: "Fill in a part", FORGET: "Forget a part"}
TOLD = {
    INSTRUCT: ("What is to be done", "make it green"),
    FILL: ("What is to be done", "fill in the masked region"),
    FORGET: ("What the clip is to show", "a red circle moves left"),
}
"""Label and hint of the prompt."""
EDGES = {"left": 25, "right": 75, "top": 25, "bottom": 75}
"""Of the part to be filled in, in percents of width and height."""
LISTEN = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The widgets: those by name whose values are read, and the place of a mask.

    Args:
        by_name: the widgets.
        mask: where one of one's own is put.
        weights: the weight of guidance that each way has unless told otherwise.
    """

    by_name: dict[str, gr.components.Component]
    mask: Source
    weights: Mapping[str, float]

    @property
    def guidance(self) -> float:
        """That of the first way."""
        return next(iter(self.weights.values()))

    def guide(self, slider: gr.components.Component) -> None:
        """The weight goes with the way."""
        way = self.by_name["way"]
        way.change(
            lambda chosen: self.weights.get(str(chosen), gr.skip()),
            way,
            slider,
            queue=False,
            **LISTEN,
        )

    @property
    def of_examples(self) -> list[gr.components.Component]:
        """Those that an example sets."""
        named = [self.by_name[name] for name in ("way", "side", *EDGES)]
        return [*named, self.mask.file, self.mask.shown]

    def use(self, page: str, hole: Region | None) -> list[Any]:
        """Their values for an example, which follows an instruction or is filled in."""
        self.mask.empty(page)
        rest = [gr.update(value=None), ""]
        if hole is None:
            return [INSTRUCT, *[gr.skip()] * (1 + len(EDGES)), *rest]
        edges = (hole.left, hole.right, hole.top, hole.bottom)
        side = INSIDE if hole.hides_inside else OUTSIDE
        return [FILL, side, *(round(100 * edge) for edge in edges), *rest]


def hole_of(given: Mapping[str, object]) -> Region | None:
    """The part to be made, if that is the way."""
    if given.get("way") != FILL:
        return None
    return read_region(**{name: given[name] for name in ("side", *EDGES)})


def strength_of(given: Mapping[str, object]) -> object:
    """How much is forgotten, if that is the way."""
    return given["strength"] if given.get("way") == FORGET else None


def add_ways(studio: Studio, source: Source, prompt: gr.Textbox) -> Ways:
    """Lay them out, below the clip; the prompt is called by what it tells."""
    follows = studio.workshop.edits_by_instruction
    values = (INSTRUCT, FILL, FORGET) if follows else (FORGET,)
    found: dict[str, gr.components.Component] = {}
    found["way"] = way = gr.Radio(
        [(LABELS[it], it) for it in values], value=values[0], label="Way", elem_classes="way"
    )
    with gr.Column(visible=False, elem_classes="fill") as filled:
        names = [("The inside of a rectangle", INSIDE), ("All around it", OUTSIDE)]
        found["side"] = gr.Radio(names, value=INSIDE, label="What is made")
        for pair in (("left", "right"), ("top", "bottom")):
            with gr.Row():
                for name in pair:
                    found[name] = gr.Slider(
                        0, 100, EDGES[name], step=1, label=f"{name.title()}, %", min_width=120
                    )
        seen = gr.HTML()
        with gr.Accordion("A mask of your own", open=False):
            mask = Source(studio, MASK)
    found["strength"] = strength = gr.Slider(
        0, 1, 0.5, step=0.05, label="How much of its noise is forgotten", visible=not follows
    )

    def choose(chosen: object) -> tuple[Any, ...]:
        label, hint = TOLD.get(str(chosen), TOLD[INSTRUCT])
        return (
            gr.update(visible=chosen == FILL),
            gr.update(visible=chosen == FORGET),
            gr.update(label=label, placeholder=hint),
        )

    way.change(choose, way, [filled, strength, prompt], queue=False, **LISTEN)
    edges = [found[name] for name in ("side", *EDGES)]

    def look(request: gr.Request, *given: object) -> str:
        values = dict(zip(("side", *EDGES), given, strict=True))
        try:
            region = read_region(**values)
        except ValueError as error:
            return pages.notice(str(error), bad=True)
        return pages.hole(studio.hidden(str(request.session_hash), region))

    for told in (source.shown, mask.shown, way, *edges):
        told.change(look, edges, seen, queue=False, trigger_mode="always_last", **LISTEN)
    weights = usual_weights(studio.workshop.pipe.defaults)
    return Ways(by_name=found, mask=mask, weights={it: weights[it] for it in values})


def usual_weights(defaults: Defaults) -> dict[str, float]:
    """The weight of guidance of each way, where none is given."""
    masks = {INSTRUCT: False, FILL: True}
    edits = {way: defaults.of_edits(masked=masked)[0] for way, masked in masks.items()}
    return {**edits, FORGET: defaults.guidance_scale}
