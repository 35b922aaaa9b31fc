"""What `score` and `rank` share: their options, the model, and files read at its size and rate."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.loading import embedded_model, find_device, load_pipeline
from starflow_v.cli.common.memory import check_memory
from starflow_v.cli.common.model_folder import read_model_folder
from starflow_v.cli.common.settings import Wishes

if TYPE_CHECKING:
    from starflow_v import Score, StarFlowVPipeline
    from starflow_v.data.video_io import Frames

Draws = Annotated[int, typer.Option(min=1, help="Draws of the added noise, to average over.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the added noise.")]
Json = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all numbers as JSON, too.")]
Fps = Annotated[
    int | None,
    typer.Option(min=1, help="Frames per second that are read and told; default: the model's."),
]
Height = Annotated[
    int | None, typer.Option(min=1, help="Pixels; default: the model's nearest size.")
]
Width = Annotated[
    int | None, typer.Option(min=1, help="Pixels; default: the model's nearest size.")
]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A file as it is scored."""

    path: Path
    frames: Frames
    """(F,H,W,3), F = 1 + 4k."""
    frame_rate: int

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.frames.shape[2])

    def describe(self) -> str:
        """One line about what is scored."""
        count, size = len(self.frames), f"{self.width}x{self.height}"
        return f"{self.path}: {count} frames of {size} at {self.frame_rate} fps"


def check_inputs(
    videos: list[Path],
    outputs: Mapping[str, Path | None],
    *,
    overwrite: bool,
    texts: Sequence[Path] = (),
) -> None:
    """Refuse files that are no clips, and places where nothing can be written, before the work.

    Args:
        videos: what is scored.
        outputs: what will be written, by the name of its option.
        overwrite: whether files may be replaced.
        texts: what is read besides.
    """
    from starflow_v.data.video_io import probe_video

    taken = {path.resolve() for path in (*videos, *texts)}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise ValueError(f"{option} {path} is read or written already; choose another")
        taken.add(path.resolve())
        if path.exists() and (path.is_dir() or not overwrite):
            raise ValueError(f"{option} {path} exists already; choose another, or --overwrite it")
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{option} {path}: there is no folder {path.parent}; make it first")
    for video in videos:
        probe_video(video)


def load_scorer(
    model: Path | None, device: str | None, dtype: opt.DtypeName | None
) -> StarFlowVPipeline:
    """The model of a flow, on its device."""
    from starflow_v import StarFlowVPipeline

    folder = read_model_folder(model or embedded_model())
    wishes = Wishes(device=device, dtype=dtype and dtype.value)
    check_memory(folder, wishes, find_device(device), batch=1)
    pipe = load_pipeline(folder, wishes, StarFlowVPipeline)
    assert isinstance(pipe, StarFlowVPipeline)
    return pipe


def score_given(
    pipe: StarFlowVPipeline, given: Given, prompt: str, *, draws: int, seed: int
) -> Score:
    """The bits of a file that was read, over `draws` of the noise."""
    import torch

    return pipe.score(
        given.frames,
        prompt,
        draws=draws,
        generator=torch.Generator().manual_seed(seed),
        height=given.height,
        width=given.width,
        frame_rate=given.frame_rate,
    )


def read_given(
    pipe: StarFlowVPipeline,
    path: Path,
    *,
    height: int | None,
    width: int | None,
    fps: int | None,
) -> Given:
    """A file at the model's nearest size and rate, unless told otherwise; whole latent frames."""
    from starflow_v.data.video_io import probe_video, read_video

    own = pipe.defaults
    if height is None and width is None:
        info = probe_video(path)
        size = pipe.nearest_size(info.height, info.width)
    else:
        size = height or own.height, width or own.width
    rate = fps or own.frame_rate
    frames = read_video(path, fps=rate, size=size).frames
    rest = (len(frames) - 1) % pipe.codec.temporal_factor
    if rest:
        typer.echo(
            f"{path}: the last {rest} of {len(frames)} frames at {rate} fps are left out, for "
            f"{len(frames)} is not 1 + {pipe.codec.temporal_factor}k",
            err=True,
        )
    return Given(path=path, frames=frames[: len(frames) - rest], frame_rate=rate)


def plus_minus(value: float, error: float) -> str:
    """A number with its standard error, if there is one."""
    return f"{value:.4f}" + ("" if math.isnan(error) else f" ± {error:.4f}")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Whole or not at all; what is no number is null."""
    part = path.with_name(path.name + ".part")
    try:
        text = json.dumps(_without_nan(data), indent=1, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _without_nan(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {name: _without_nan(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data
