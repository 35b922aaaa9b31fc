"""*Animate*: an image becomes the first frame of a video."""

import gradio as gr

from starflow_v.studio.examples import Examples
from starflow_v.studio.studio import ANIMATE, Studio
from starflow_v.studio.tabs.making import MakingTab, add_making_tab


def add_animate(studio: Studio, examples: Examples, gallery: gr.HTML) -> None:
    """Lay the tab out."""
    spec = MakingTab(
        title="Animate",
        prompt="What happens",
        hint="a red circle moves right",
        place=ANIMATE,
        examples=examples.animate,
    )
    add_making_tab(studio, spec, gallery)
