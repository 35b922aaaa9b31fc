"""A place for a file: a drop zone, and the file as the model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from starflow_v.studio import pages
from starflow_v.studio.examples import Example, icon_of
from starflow_v.studio.studio import Place, Studio
from starflow_v.studio.uploads import CLIPS, IMAGES

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
        what = "An image" if place.image else "A clip"
        most = studio.limits.upload_bytes // 2**20
        about = f"{what}: up to {most} MB"
        if not place.image:
            about += f", {studio.limits.seconds:g} s"
        self.file = gr.File(label=about, file_types=list(kinds), height=132, elem_classes="drop")
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

    def _forget(self, request: gr.Request) -> str:
        self._studio.forget(str(request.session_hash), self._place)
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


def add_examples(examples: Sequence[Example], prompt: gr.Textbox, source: Source | None) -> None:
    """Buttons that fill in a prompt, and a file where there is a place for one."""
    if not examples:
        return
    with gr.Row(elem_classes="chips"):
        for example in examples:
            icon = None if example.upload is None else icon_of(example.upload.path)
            chip = gr.Button(
                example.prompt, size="sm", icon=icon and str(icon), elem_classes="chip", min_width=0
            )
            if source is None:
                chip.click(_prompt_of(example), None, prompt, queue=False, api_visibility="private")
            else:
                chip.click(
                    _both_of(example, source),
                    None,
                    [prompt, source.file, source.shown],
                    queue=False,
                    api_visibility="private",
                )


def _prompt_of(example: Example) -> Any:
    def fill() -> str:
        return example.prompt

    return fill


def _both_of(example: Example, source: Source) -> Any:
    def fill(request: gr.Request) -> tuple[str, Any, str]:
        return example.prompt, gr.update(value=None), source.use(str(request.session_hash), example)

    return fill
