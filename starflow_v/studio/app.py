"""The page: a title, the tabs, what was made, the words that the model knows."""

from __future__ import annotations

import gradio as gr

from starflow_v.studio import words
from starflow_v.studio.examples import Examples
from starflow_v.studio.pages import plain
from starflow_v.studio.studio import Studio
from starflow_v.studio.tabs.animate import add_animate
from starflow_v.studio.tabs.edit import add_edit
from starflow_v.studio.tabs.extend import add_extend
from starflow_v.studio.tabs.generate import add_generate
from starflow_v.studio.tabs.score import add_score

TITLE = "starflow_v studio"
STALE = (600, 3600)
"""Uploads are looked through every so many seconds, and removed when they are older than that."""


def build(studio: Studio, examples: Examples) -> gr.Blocks:
    """The page, tied to the studio."""
    pipe, workshop = studio.workshop.pipe, studio.workshop
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=STALE
    ) as page:
        gr.HTML(_heading(studio), elem_classes="heading")
        gallery = gr.HTML(elem_classes="gallery", render=False)
        with gr.Tabs():
            add_generate(studio, examples, gallery)
            if workshop.is_flow:
                add_animate(studio, examples, gallery)
                if workshop.extends:
                    add_extend(studio, examples, gallery)
                add_edit(studio, examples, gallery)
                add_score(studio, examples)
        gallery.render()
        glossary = words.glossary(pipe.tokenizer)
        if glossary:
            with gr.Accordion("The words it knows", open=False, elem_classes="glossary"):
                gr.HTML(glossary)

        def leave(request: gr.Request) -> None:
            studio.leave(str(request.session_hash))

        page.unload(leave)
    page.queue(default_concurrency_limit=None)
    return page


def theme() -> gr.themes.Base:
    """Calm colours, and the fonts of whoever looks: nothing is fetched."""
    look = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )
    return look.set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
        block_border_width="1px",
        block_shadow="none",
        slider_color="*primary_600",
    )


def _heading(studio: Studio) -> str:
    pipe, folder = studio.workshop.pipe, studio.workshop.folder
    own = pipe.defaults
    facts = (
        f"{folder.path.name} · {own.num_frames} frames of {own.width}×{own.height} · on "
        f"{pipe.device}"
    )
    return f"<h1>starflow_v <em>studio</em></h1><p>{plain(facts)}</p>"
