"""The tabs that make videos: a prompt, perhaps a file, settings, and the frames as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from starflow_v.cli.common.settings import Wishes
from starflow_v.studio import pages, words
from starflow_v.studio.asking import read_wishes
from starflow_v.studio.examples import Example
from starflow_v.studio.studio import Place, Studio
from starflow_v.studio.tabs.settings import Controls, add_controls
from starflow_v.studio.tabs.source import Source, add_examples
from starflow_v.studio.tabs.ways import add_ways, hole_of, strength_of
from starflow_v.studio.workshop import Making

POLL = 0.1
"""Seconds between two looks at a job."""


@dataclass(frozen=True, kw_only=True)
class MakingTab:
    """What differs between these tabs."""

    title: str
    prompt: str
    """Label of the prompt."""
    hint: str
    place: Place | None = None
    examples: Sequence[Example] = ()
    length: str = "Frames"
    """What their number is called."""
    adds: bool = False
    """Whether they are added to those of the source."""
    has_ways: bool = False
    """Whether there are several ways to go about it."""


def add_making_tab(studio: Studio, spec: MakingTab, gallery: gr.HTML) -> None:
    """Lay the tab out, and tie its buttons to the studio."""
    with gr.Tab(spec.title), gr.Row(elem_classes="panel"):
        with gr.Column(scale=5, min_width=300):
            source = None if spec.place is None else Source(studio, spec.place)
            prompt = gr.Textbox(
                label=spec.prompt, placeholder=spec.hint, lines=1, max_lines=6, render=False
            )
            ways = add_ways(studio, source, prompt) if spec.has_ways and source else None
            prompt.render()
            add_examples(spec.examples, prompt, source, ways)
            with gr.Row(elem_classes="buttons"):
                go = gr.Button(spec.title, variant="primary", min_width=120)
                stop = gr.Button("Stop", variant="stop", min_width=120, interactive=False)
            controls = add_controls(
                studio,
                of_source=source is not None,
                length=spec.length,
                adds=spec.adds,
                guidance=studio.workshop.pipe.defaults.guidance_scale
                if ways is None
                else ways.guidance,
            )
            if ways is not None:
                ways.guide(controls.by_name["guidance"])
                controls = Controls(by_name={**controls.by_name, **ways.by_name})
        with gr.Column(scale=7, min_width=300):
            figures = gr.HTML(elem_classes="told")
            screen = gr.HTML(pages.empty_screen())
    handler = _Handler(studio, spec, controls)
    outputs = [figures, screen, gallery, go, stop]
    run = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
    inputs = [prompt, *controls.components]
    for begin in (go.click, prompt.submit):
        begin(handler.run, inputs, outputs, concurrency_limit=None, **run)
    stop.click(handler.stop, None, stop, queue=False, **run)


class _Handler:
    """From clicks to the studio, and from its jobs to the page."""

    def __init__(self, studio: Studio, spec: MakingTab, controls: Controls) -> None:
        self._studio, self._spec, self._controls = studio, spec, controls

    async def run(
        self, request: gr.Request, prompt: object, *values: object
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Queue a video and tell of it until it is there."""
        page, studio = str(request.session_hash), self._studio
        try:
            given = self._controls.named(values)
            wishes, hole = self._wishes(given), hole_of(given)
            job = studio.make(page, prompt, given["seed"], wishes, self._spec.place, hole=hole)
        except ValueError as error:
            yield pages.notice(str(error), bad=True), gr.skip(), gr.skip(), gr.skip(), gr.skip()
            return
        note = words.warning(studio.workshop.pipe.tokenizer, job.order.prompt)
        note = pages.notice(note) if note else ""
        busy = gr.update(interactive=False), gr.update(interactive=True)
        async for figures, screen in follow(studio, job):
            yield note + figures, gr.skip() if screen is None else screen, gr.skip(), *busy
        session = studio.sessions.find(page)
        made = pages.gallery(session.results) if session is not None else gr.skip()
        idle = gr.update(interactive=True), gr.update(interactive=False)
        yield gr.skip(), gr.skip(), made, *idle

    def stop(self, request: gr.Request) -> Any:
        """Keep what exists."""
        self._studio.stop(str(request.session_hash))
        return gr.update(interactive=False)

    def _wishes(self, given: Mapping[str, object]) -> Wishes:
        return read_wishes(
            self._studio.choices,
            self._studio.limits,
            size=given["size"],
            frames=given["frames"],
            guidance=given["guidance"],
            solver=given["solver"],
            strength=strength_of(given),
        )


async def follow(studio: Studio, job: Making) -> AsyncIterator[tuple[str, str | None]]:
    """Figures and screen whenever they change, until the job is over; no screen: as before."""
    seen, frames = None, 0
    while True:
        over = job.over
        made = job.progress.latents if job.progress is not None else 0
        place = studio.line.place(job)
        look = job.state, place, made, round(2 * job.seconds), job.stopping
        if look != seen or over:
            fresh = made != frames or over
            screen = await asyncio.to_thread(pages.screen, job) if fresh else None
            yield pages.figures(job, place), screen
            seen, frames = look, made
        if over:
            return
        await asyncio.sleep(POLL)
