"""A place for a file: a drop zone, and the file as the model sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from gradio.utils import get_upload_folder

from starflow_v.data.scenes import Region
from starflow_v.studio import pages
from starflow_v.studio.examples import Example, icon_of
from starflow_v.studio.studio import Place, Studio
from starflow_v.studio.uploads import CLIPS, IMAGES


class Others(Protocol):
    """What examples of a tab set beside a prompt and a file."""

    @property
    def of_examples(self) -> list[gr.components.Component]:
        """The widgets."""

    def use(self, page: str, hole: Region | None) -> list[Any]:
        """Their values for an example with such a hole."""


Raw = dict[str, Any] | None
"""A file as the browser names it. Gradio's own reading, which fetches addresses, is left out."""


class Source:
    """The widgets of a place.

    Args:
        studio: takes the files.
        place: where they go.
    """

    def __init__(self, studio: Studio, place: Place) -> None:
        self._studio, self._place = studio, place
        kinds = IMAGES if place.image else CLIPS
        most = studio.limits.upload_bytes // 2**20
        about = f"{place.what.capitalize()}: up to {most} MB"
        if not place.image:
            about += f", {studio.limits.seconds:g} s"
        self.file = gr.File(label=about, file_types=list(kinds), height=108, elem_classes="drop")
        self.shown = gr.HTML()
        listen = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
        self.file.upload(
            self._receive, self.file, [self.file, self.shown], concurrency_limit=2, **listen
        )
        self.file.clear(self._forget, None, self.shown, **listen)

    def use(self, page: str, example: Example) -> str:
        """Put an example in the place; the HTML that shows it."""
        assert example.upload is not None, "examples of a place have a file"
        self._studio.use(page, self._place, example.upload)
        return self._look(example.upload)

    def _receive(self, raw: Raw, request: gr.Request) -> tuple[Any, str]:
        page = str(request.session_hash)
        try:
            upload = self._studio.receive(page, self._place, uploaded_path(raw))
        except ValueError as error:
            self._studio.forget(page, self._place)
            return gr.update(value=None), pages.notice(str(error), bad=True)
        return gr.skip(), self._look(upload)

    def empty(self, page: str) -> None:
        """Let the place hold nothing."""
        self._studio.forget(page, self._place)

    def _forget(self, request: gr.Request) -> str:
        self.empty(str(request.session_hash))
        return ""

    def _look(self, upload: Any) -> str:
        return pages.given(upload, self._studio.workshop.pipe.defaults.frame_rate)


def uploaded_path(raw: Raw) -> Path:
    """The file that the browser names, if it is one that was uploaded to this server."""
    folder = Path(get_upload_folder()).resolve()
    named = raw.get("path") if isinstance(raw, dict) else None
    path = Path(named).resolve() if isinstance(named, str) and "\0" not in named else folder
    if not path.is_relative_to(folder) or not path.is_file():
        raise ValueError("That file did not arrive. Upload it again.")
    return path


def add_examples(
    examples: Sequence[Example],
    prompt: gr.Textbox,
    source: Source | None,
    others: Others | None = None,
) -> None:
    """Buttons that fill in a prompt, and a file where there is a place for one.

    Args:
        examples: one button each.
        prompt: where the words go.
        source: where the file goes.
        others: what else an example sets.
    """
    if not examples:
        return
    with gr.Row(elem_classes="chips"):
        for example in examples:
            icon = None if example.upload is None else icon_of(example.upload.path)
            chip = gr.Button(
                example.prompt, size="sm", icon=icon and str(icon), elem_classes="chip", min_width=0
            )
            quiet = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
            if source is None:  # the browser does it by itself, at once
                chip.click(None, None, prompt, js=f"() => {json.dumps(example.prompt)}", **quiet)
            else:
                filled = [prompt, source.file, source.shown]
                filled += others.of_examples if others is not None else []
                chip.click(_filling(example, source, others), None, filled, **quiet)


def _filling(example: Example, source: Source, others: Others | None) -> Any:
    def fill(request: gr.Request) -> tuple[Any, ...]:
        page = str(request.session_hash)
        more = [] if others is None else others.use(page, example.hole)
        return example.prompt, gr.update(value=None), source.use(page, example), *more

    return fill
