"""Making videos: frames go from the pipeline's stream to the files as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from starflow_v.cli.common.failures import CommandError
from starflow_v.cli.common.given import GivenFile
from starflow_v.cli.common.names import record_path
from starflow_v.cli.common.planning import Target
from starflow_v.cli.common.record import Record, versions, write_record
from starflow_v.cli.common.settings import Settings, make_guidance, make_solver
from starflow_v.cli.common.tasks import Start

if TYPE_CHECKING:
    import numpy as np

    from starflow_v.cli.common.comparison import Comparison
    from starflow_v.data.video_io import Frames, VideoWriter


@dataclass(frozen=True, kw_only=True)
class Source:
    """What records say of where videos come from."""

    task: str
    given: dict[str, GivenFile]
    model: Path
    hashes: dict[str, str]
    command: str


def make_batch(
    start: Start,
    settings: Settings,
    batch: Sequence[Target],
    *,
    source: Source,
    overwrite: bool,
    compare: bool,
    advance: Callable[[Frames], object],
) -> list[tuple[Path, Record]]:
    """Makes the videos of `batch` side by side, each with its record beside it.

    No file is opened before the first frame is there. `advance` is given the new frames
    (B,f,H,W,3), uint8, of every latent frame. Ctrl-C after the first one (or an `advance` that
    raises what it raises), and numbers that are no numbers any more, make shorter, valid videos of
    what is there, with records, and go on as a `KeyboardInterrupt` or a `CommandError` that tells
    so.
    """
    started = time.perf_counter()
    with ExitStack() as stack:
        stream = stack.enter_context(closing(_stream(start, settings, batch)))
        first = next(stream)
        writers = {
            index: stack.enter_context(_open(target.video, start, settings, overwrite))
            for index, target in enumerate(batch)
            if target.video is not None
        }
        wanted = {index: batch[index].frames or start.total_frames for index in writers}
        comparisons = {
            index: stack.enter_context(
                _compare(writer.path, start, settings, wanted[index], overwrite)
            )
            for index, writer in writers.items()
            if compare
        }
        stopped = _write_all(chain([first], stream), writers, comparisons, wanted, advance)
    seconds = round(time.perf_counter() - started, 3)
    made = []
    for index, writer in writers.items():
        record = Record(
            task=source.task,
            given=source.given,
            settings=settings,
            batch=tuple(target.clip for target in batch),
            index=index,
            model=str(source.model),
            hashes=source.hashes,
            versions=versions(),
            command=source.command,
            seconds=seconds,
            frames=writer.frames_written,
            total_frames=start.total_frames,
        )
        write_record(record, batch[index].record or record_path(writer.path))
        made.append((writer.path, record))
    if isinstance(stopped, FloatingPointError):
        raise CommandError(f"{stopped}. {_what_is_left(made)}") from stopped
    if stopped is not None:
        raise KeyboardInterrupt(f"interrupted: {_what_is_left(made)}")
    return made


def _stream(
    start: Start, settings: Settings, batch: Sequence[Target]
) -> Generator[np.ndarray, None, None]:
    """Frames (B,f,H,W,3), float32 in [0,1]; a seed belongs to its clip, not to the batch."""
    import torch

    guidance = make_guidance(settings)
    yield from start.stream(
        prompt=[target.clip.told for target in batch],
        negative_prompt=settings.negative_prompt,
        height=settings.height,
        width=settings.width,
        num_frames=settings.num_frames,
        frame_rate=settings.frame_rate,
        guidance_scale=settings.guidance_scale if guidance is None else None,
        guidance=guidance,
        generator=[torch.Generator().manual_seed(target.clip.seed) for target in batch],
        solver=make_solver(settings),
        temperature=settings.temperature,
    )


def _open(video: Path, start: Start, settings: Settings, overwrite: bool) -> VideoWriter:
    from starflow_v.data.video_io import VideoWriter, probe_video

    silent = video.suffix.lower() != ".mp4"
    if silent and start.sound is not None and probe_video(start.sound).has_sound:
        typer.echo(f"{video} cannot hold the sound of {start.sound}; an .mp4 can", err=True)
    return VideoWriter(video, fps=settings.frame_rate, overwrite=overwrite, sound_from=start.sound)


def _compare(
    video: Path, start: Start, settings: Settings, total: int, overwrite: bool
) -> AbstractContextManager[Comparison]:
    from starflow_v.cli.common.comparison import open_comparison

    assert start.reference is not None, "only commands with something given can compare"
    return open_comparison(
        video, start.reference, total=total, fps=settings.frame_rate, overwrite=overwrite
    )


def _write_all(
    stream: Iterable[np.ndarray],
    writers: dict[int, VideoWriter],
    comparisons: dict[int, Comparison],
    wanted: dict[int, int],
    advance: Callable[[Frames], object],
) -> KeyboardInterrupt | FloatingPointError | None:
    """Writes as many frames as are wanted to each file; returns what came before they were."""
    try:
        for frames in stream:
            pixels = (frames.clip(0, 1) * 255).round().astype("uint8")
            for index, writer in writers.items():
                fresh = pixels[index, : wanted[index] - writer.frames_written]
                writer.write(fresh)
                if index in comparisons:
                    comparisons[index].write(fresh)
            advance(pixels)
            if all(writer.frames_written == wanted[index] for index, writer in writers.items()):
                break
    except (KeyboardInterrupt, FloatingPointError) as stopped:
        return stopped
    return None


def _what_is_left(made: Sequence[tuple[Path, Record]]) -> str:
    parts = [f"{path} holds {r.frames} of {r.total_frames} frames" for path, r in made]
    return ", ".join(parts)
