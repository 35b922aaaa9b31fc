"""The options that all commands which make videos have, in one place.

A command takes them as one parameter, `options: Making`; `takes_options` shows typer the single
options instead of it.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, get_type_hints

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.settings import Wishes

Command: TypeAlias = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Making:
    """How videos are made, as the user said it."""

    output: opt.Output = None
    model: opt.Model = None
    negative_prompt: opt.NegativePrompt = None
    height: opt.Height = None
    width: opt.Width = None
    aspect_ratio: opt.AspectRatio = None
    frames: opt.Frames = None
    fps: opt.Fps = None
    seed: opt.Seed = None
    guidance: opt.Guidance = None
    attention_temperature: opt.AttentionTemperature = None
    temperature: opt.Temperature = None
    solver: opt.Solver = None
    steps: opt.Steps = None
    tolerance: opt.Tolerance = None
    block_size: opt.BlockSize = None
    prompts: opt.Prompts = None
    then: opt.Then = None
    batch_size: opt.BatchSize = 1
    device: opt.Device = None
    dtype: opt.Dtype = None
    kv_dtype: opt.CacheDtype = None
    force: opt.Force = False
    overwrite: opt.Overwrite = False
    from_record: opt.From = None

    def wishes(self) -> Wishes:
        """Those that decide the pixels."""
        return Wishes(
            negative_prompt=self.negative_prompt,
            height=self.height,
            width=self.width,
            aspect_ratio=self.aspect_ratio,
            num_frames=self.frames,
            frame_rate=self.fps,
            guidance_scale=self.guidance,
            attention_temperature=self.attention_temperature,
            temperature=self.temperature,
            solver=self.solver and self.solver.value,
            steps=self.steps,
            block_size=self.block_size,
            tolerance=self.tolerance,
            device=self.device,
            dtype=self.dtype and self.dtype.value,
            kv_dtype=self.kv_dtype and self.kv_dtype.value,
        )


def takes_options(**instead: Any) -> Callable[[Command], Command]:
    """Gives a command every field of `Making` as a parameter, at the place of its `options`.

    Args:
        instead: fields that the command explains in its own words, or hides.
    """
    hints = get_type_hints(Making, include_extras=True) | instead

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            options = Making(**{field.name: values.pop(field.name) for field in fields(Making)})
            command(options=options, **values)

        parameters = list(_parameters(command, hints))
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def _parameters(command: Command, hints: Mapping[str, Any]) -> Iterator[inspect.Parameter]:
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name != "options":
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            continue
        for field in fields(Making):
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
