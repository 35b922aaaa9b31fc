"""*Generate*: a video of words alone."""

import gradio as gr

from starflow_v.studio.examples import Examples
from starflow_v.studio.studio import Studio
from starflow_v.studio.tabs.making import MakingTab, add_making_tab


def add_generate(studio: Studio, examples: Examples, gallery: gr.HTML) -> None:
    """Lay the tab out."""
    spec = MakingTab(
        title="Generate",
        prompt="What the video shows",
        hint="a red circle moves right",
        examples=examples.generate,
    )
    add_making_tab(studio, spec, gallery)
