"""What a call asks for, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from torch import Generator, Tensor

from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.prompts import Prompts, as_list, changes, check_prompts
from starflow_v.sampling.overlap import Stages
from starflow_v.text import Task

Value = TypeVar("Value")

OUTPUT_TYPES = ("np", "pt", "pil", "latent")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments that the calls and the streams of all pipelines share.

    `None` means the model's own default. `StarFlowVPipeline.__call__` says what each of them is.
    """

    prompt: Prompts | None
    negative_prompt: str | Sequence[str] | None
    height: int | None
    width: int | None
    num_frames: int | None
    guidance_scale: float | None
    num_videos_per_prompt: int
    generator: Generator | Sequence[Generator] | None
    latents: Tensor | None
    prompt_embeds: Tensor | None
    negative_prompt_embeds: Tensor | None
    output_type: str
    frame_rate: int | None
    solver: Solver | None
    window: Window | None
    max_sequence_length: int | None
    stages: Stages | None = None
    """How a stream's stages follow each other; `None`: as the machine does best."""
    num_inference_steps: int | None = None
    guidance: Guidance | None = None
    """The rule, with its own weight; `None`: `DensityGuidance` of `guidance_scale`."""
    temperature: float = 1.0
    """What the noise of the frames that are made is multiplied by."""

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Request:
        """Of the `locals()` that a call begins with: what every task has, by name."""
        names = [field.name for field in fields(cls) if field.name in arguments]
        return cls(**{name: arguments[name] for name in names})

    def for_givens(self, count: int, what: str) -> Request:
        """The same with one prompt for each of `count` given images or clips.

        A single prompt serves all of them, and a single image or clip serves all prompts.
        """
        prompts = None if self.prompt is None else as_list(self.prompt)
        embeds, null_embeds = self.prompt_embeds, self.negative_prompt_embeds
        told = len(prompts) if prompts is not None else 0 if embeds is None else len(embeds)
        if count in (1, told):
            return self
        if told != 1:
            raise ValueError(
                f"{count} {what} and {told} prompts were given: give as many of both, or one of "
                "either"
            )
        return replace(
            self,
            prompt=None if prompts is None else [*prompts] * count,
            prompt_embeds=None if embeds is None else embeds.expand(count, -1, -1),
            negative_prompt_embeds=None
            if null_embeds is None
            else null_embeds.expand(count, -1, -1),
        )

    @property
    def retold(self) -> bool:
        """Whether a prompt changes along the way."""
        return self.prompt is not None and len(changes(self.prompt)) > 1

    def refuse_retold(self, what: str) -> None:
        """For what is made under one prompt."""
        if self.retold:
            raise ValueError(f"{what} has one prompt from its first frame to its last")

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.prompt_embeds is None):
            raise ValueError("give either a prompt or prompt_embeds, not both and not neither")
        if self.negative_prompt is not None and self.negative_prompt_embeds is not None:
            raise ValueError("give either a negative_prompt or negative_prompt_embeds, not both")
        if self.prompt is not None:
            check_prompts(self.prompt)
        negative = self.negative_prompt
        if not (negative is None or isinstance(negative, str) or _are_strings(negative)):
            raise ValueError(
                f"negative_prompt must be a string or a list of strings, got {negative!r}"
            )
        if self.guidance is not None and self.guidance_scale is not None:
            raise ValueError("give either guidance, with its weight, or guidance_scale, not both")
        if self.num_videos_per_prompt < 1:
            raise ValueError(f"num_videos_per_prompt={self.num_videos_per_prompt}: give 1 or more")
        for name in ("height", "width", "num_frames", "frame_rate", "num_inference_steps"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise ValueError(f"{name}={number!r} is not valid: give a whole number above 0")
        tau = self.temperature
        if isinstance(tau, bool) or not (isinstance(tau, int | float) and 0 <= tau < math.inf):
            raise ValueError(
                f"temperature={tau!r} is not valid: give a number from 0 (what the model is surest "
                "of) to 1 (as it was trained), or more"
            )
        if self.output_type not in OUTPUT_TYPES:
            raise ValueError(
                f"output_type={self.output_type!r} is not known: choose from {OUTPUT_TYPES}"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request with nothing left open."""

    request: Request
    height: int
    width: int
    num_frames: int
    """Pixel frames of the video, known ones included."""
    latent_frames: int
    """The same in latent frames."""
    frame_rate: int
    guidance: Guidance
    solver: Solver
    window: Window | None
    """When the deep block restarts; `None`: never."""
    task: Task | None = None
    """What the caption says of the known frames."""
    extends: bool = False
    """Whether the caption says "extend" after a restart: the frames go on from others then."""


def given(value: Value | None, default: Value) -> Value:
    """The value, or the default where it is `None`."""
    return default if value is None else value


def _are_strings(texts: object) -> bool:
    """A list of at least one string."""
    if not isinstance(texts, list | tuple) or not texts:
        return False
    return all(isinstance(text, str) for text in texts)
