"""The settings of a video, folded away: seed, size, length, guidance, solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from starflow_v.studio.asking import OWN_SIZE
from starflow_v.studio.studio import Studio

SOLVERS = {
    "sequential": ("Token by token, exact", "sequential"),
    "sliding": ("A sliding window, many at a time", "sliding"),
    "jacobi": ("The paper's Jacobi sweeps", "jacobi"),
    "euler": ("Euler's steps", "euler"),
}
"""Name -> what is shown, and the value."""


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Components by name, in the order in which their values arrive."""

    by_name: dict[str, gr.components.Component]

    @property
    def components(self) -> list[gr.components.Component]:
        """All of them."""
        return list(self.by_name.values())

    def named(self, values: Sequence[object]) -> dict[str, object]:
        """Values by name."""
        return dict(zip(self.by_name, values, strict=True))


def add_controls(
    studio: Studio, *, of_source: bool, length: str, adds: bool, guidance: float
) -> Controls:
    """Lay them out.

    Args:
        studio: its model has the defaults, its limits the bounds.
        of_source: whether the size is that of a source unless told otherwise.
        length: what the number of frames is called.
        adds: whether they are added to those of a clip, which are no multiple of four.
        guidance: its weight unless told otherwise.
    """
    pipe, choices = studio.workshop.pipe, studio.choices
    found: dict[str, gr.components.Component] = {}
    with gr.Accordion("Settings", open=False):
        with gr.Row():
            found["seed"] = gr.Textbox(  # a field of numbers would show 0, and send it
                label="Seed", placeholder="random", max_length=20, min_width=130
            )
            own = "As the source" if of_source else "As trained"
            found["size"] = gr.Dropdown(
                [(own, OWN_SIZE), *((name, name) for name in choices.sizes)],
                value=OWN_SIZE,
                label="Size",
                min_width=130,
            )
        rate, factor = pipe.defaults.frame_rate, pipe.codec.temporal_factor
        least, less = (factor, 1) if adds else (1, 0)
        found["frames"] = gr.Slider(
            least,
            choices.most_frames - less,
            pipe.defaults.num_frames - less,
            step=factor,
            label=f"{length}, {rate} a second",
        )
        found["guidance"] = gr.Slider(
            0,
            studio.limits.guidance,
            guidance,
            step=0.1,
            label="Guidance: how closely the prompt is followed",
        )
        found["solver"] = gr.Radio(
            [SOLVERS[name] for name in choices.solvers], value=choices.solvers[0], label="Solver"
        )
    return Controls(by_name=found)
