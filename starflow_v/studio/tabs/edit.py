"""*Edit*: a clip is changed, by an instruction, where a part is hidden, or by forgetting a part."""

import gradio as gr

from starflow_v.studio.examples import Examples
from starflow_v.studio.studio import EDIT, Studio
from starflow_v.studio.tabs.making import MakingTab, add_making_tab


def add_edit(studio: Studio, examples: Examples, gallery: gr.HTML) -> None:
    """Lay the tab out; its examples are instructions, which not every model follows."""
    spec = MakingTab(
        title="Edit",
        prompt="What is to be done",
        hint="make it green",
        place=EDIT,
        examples=examples.edit if studio.workshop.edits_by_instruction else (),
        length="At most so many frames",
        has_ways=True,
    )
    add_making_tab(studio, spec, gallery)
