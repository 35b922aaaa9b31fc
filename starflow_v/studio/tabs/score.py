"""*Score*: how well the model expects a clip, frame by frame and place by place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from starflow_v.studio import curve, pages
from starflow_v.studio.asking import LARGEST_SEED
from starflow_v.studio.examples import Examples
from starflow_v.studio.studio import SCORE, Studio
from starflow_v.studio.tabs.making import POLL
from starflow_v.studio.tabs.source import Source, add_examples

DRAWS = 4


def add_score(studio: Studio, examples: Examples) -> None:
    """Lay the tab out, and tie its buttons to the studio."""
    with gr.Tab("Score"), gr.Row(elem_classes="panel"):
        with gr.Column(scale=5, min_width=300):
            source = Source(studio, SCORE)
            prompt = gr.Textbox(
                label="What the clip shows",
                placeholder="a red circle moves right",
                lines=1,
                max_lines=6,
            )
            add_examples(examples.score, prompt, source)
            with gr.Row(elem_classes="buttons"):
                go = gr.Button("Score", variant="primary", min_width=120)
            with gr.Accordion("Settings", open=False), gr.Row():
                draws = gr.Slider(1, studio.limits.draws, DRAWS, step=1, label="Draws of noise")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED)
        with gr.Column(scale=7, min_width=300):
            told = gr.HTML(elem_classes="told")
            shown = gr.HTML('<div class="screen empty"><span>The score appears here.</span></div>')
    run = _runner(studio)
    settings = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
    for begin in (go.click, prompt.submit):
        begin(run, [prompt, draws, seed], [told, shown, go], concurrency_limit=None, **settings)


def _runner(studio: Studio) -> Any:
    async def run(
        prompt: object, draws: object, seed: object, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        try:
            job = studio.score(str(request.session_hash), prompt, draws, seed)
        except ValueError as error:
            yield pages.notice(str(error), bad=True), gr.skip(), gr.skip()
            return
        seen = ""
        while not job.over:
            told = pages.standing(job, studio.line.place(job)) or pages.notice("Scoring …")
            if told != seen:
                yield told, gr.skip(), gr.update(interactive=False)
                seen = told
            await asyncio.sleep(POLL)
        idle = gr.update(interactive=True)
        trouble = pages.standing(job, 0)
        if trouble is not None:
            yield trouble, gr.skip(), idle
            return
        yield "", await asyncio.to_thread(curve.report, job), idle

    return run
