r"""Captions and the conditions they carry.

A STARFlow-V model has one way to be told anything: its caption. Task, frames per second, aspect
ratio and noise level are written around the prompt in fixed words, from the inside out::

    (v2v) make it snow                  the task's marker, then the prompt
    A video with 16 fps:\n...\n         or "An image:" where fps is 0
    ...\n in a 16:9 aspect ratio.\n
    Noise Level 500:\n...               1000 times the std of the noise on the latents

The words are part of the weights: a model that was trained with them must be asked with them. The
unconditional branch of guidance wraps the empty (or the negative) prompt the same way, so that the
two branches differ in the prompt alone.
"""

from dataclasses import dataclass
from typing import Literal

from starflow_v.text.sizes import ratio_of

Task = Literal["extend", "last", "v2v"]

TASKS: tuple[Task, ...] = ("extend", "last", "v2v")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a caption says beside its prompt; None leaves a condition unsaid."""

    task: Task | None = None
    """extend: go on from known frames; last: the last frame is given; v2v: edit a given video."""
    aspect_ratio: str | None = None
    """Width to height, such as "16:9"."""
    fps: int | None = None
    """Frames per second; 0 means a still image."""
    noise_std: float | None = None
    """Standard deviation of the noise that was added to the latents."""

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; expected None or one of {', '.join(TASKS)}")
        if self.aspect_ratio is not None:
            ratio_of(self.aspect_ratio)
        if self.fps is not None and self.fps < 0:
            raise ValueError(f"fps is {self.fps}; expected at least 1, or 0 for a still image")
        if self.noise_std is not None and self.noise_std < 0:
            raise ValueError(f"noise_std is {self.noise_std}; expected 0 or more")


def wrap_caption(prompt: str, conditions: Conditions) -> str:
    """The text that the encoder is given for `prompt` under `conditions`.

    A prompt may bring a task marker of its own; the one from `conditions` is put in front of it,
    so that extending an edited video reads "(extend) (v2v) ...".
    """
    caption = prompt if conditions.task is None else f"({conditions.task}) {prompt}"
    if conditions.fps is not None:
        medium = f"A video with {conditions.fps} fps:" if conditions.fps > 0 else "An image:"
        caption = f"{medium}\n{caption}\n"
    if conditions.aspect_ratio is not None:
        caption = f"{caption}\n in a {conditions.aspect_ratio} aspect ratio.\n"
    if conditions.noise_std is not None:
        caption = f"Noise Level {round(conditions.noise_std * 1000)}:\n{caption}"
    return caption


def tell_source(instruction: str, source_prompt: str) -> str:
    """An instruction, and what the clip to be edited shows.

    >>> tell_source("make the background blue", "a small red star on a gray background")
    'make the background blue: a small red star on a gray background'
    """
    return f"{instruction}: {source_prompt}"
