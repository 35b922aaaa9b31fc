"""*Extend*: a clip goes on."""

import gradio as gr

from starflow_v.studio.examples import Examples
from starflow_v.studio.studio import EXTEND, Studio
from starflow_v.studio.tabs.making import MakingTab, add_making_tab


def add_extend(studio: Studio, examples: Examples, gallery: gr.HTML) -> None:
    """Lay the tab out."""
    spec = MakingTab(
        title="Extend",
        prompt="What the clip shows, and goes on to show",
        hint="a red circle moves right",
        place=EXTEND,
        examples=examples.extend,
        length="New frames",
        adds=True,
    )
    add_making_tab(studio, spec, gallery)
