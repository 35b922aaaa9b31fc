"""The settings of a video, folded away: seed, size, length, guidance, solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from starflow_v.studio.asking import LARGEST_SEED, OWN_SIZE
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


def add_controls(studio: Studio, *, of_source: bool, forgets: bool) -> Controls:
    """Lay them out.

    Args:
        studio: its model has the defaults, its limits the bounds.
        of_source: whether the size is that of a source unless told otherwise.
        forgets: whether a part of the source's noise can be forgotten.
    """
    pipe, choices = studio.workshop.pipe, studio.choices
    found: dict[str, gr.components.Component] = {}
    if forgets:
        instructed = studio.workshop.edits_by_instruction
        ways = [("Follow an instruction", "instruct")] * instructed
        ways.append(("Forget part of the clip, and follow a description", "forget"))
        found["way"] = gr.Radio(ways, value=ways[0][1], label="Way")
        found["strength"] = gr.Slider(
            0, 1, 0.5, step=0.05, label="How much is forgotten", visible=not instructed
        )
        found["way"].input(
            lambda way: gr.update(visible=way == "forget"),
            found["way"],
            found["strength"],
            queue=False,
            api_visibility="private",
            show_progress="hidden",
        )
    with gr.Accordion("Settings", open=False):
        with gr.Row():
            found["seed"] = gr.Number(
                None,
                label="Seed",
                placeholder="another each time",
                precision=0,
                minimum=0,
                maximum=LARGEST_SEED,
                min_width=130,
            )
            own = "Nearest to the source" if of_source else "As trained"
            found["size"] = gr.Dropdown(
                [(own, OWN_SIZE), *((name, name) for name in choices.sizes)],
                value=OWN_SIZE,
                label="Size",
                min_width=130,
            )
        rate, factor = pipe.defaults.frame_rate, pipe.codec.temporal_factor
        found["frames"] = gr.Slider(
            1,
            choices.most_frames,
            pipe.defaults.num_frames,
            step=factor,
            label=f"{'At most so many frames' if forgets else 'Frames'}, {rate} a second",
        )
        found["guidance"] = gr.Slider(
            0,
            studio.limits.guidance,
            pipe.defaults.guidance_scale,
            step=0.1,
            label="Guidance: how closely the prompt is followed",
        )
        found["solver"] = gr.Radio(
            [SOLVERS[name] for name in choices.solvers], value=choices.solvers[0], label="Solver"
        )
    return Controls(by_name=found)
