"""Clips as arrays: at once, or frame by frame in constant memory."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from starflow_v.data.video_io.frames import Decoder, Frame, Frames, VideoInfo
from starflow_v.data.video_io.pyav_decoder import PyAVDecoder
from starflow_v.data.video_io.resize import fit
from starflow_v.data.video_io.safety import MediaError, MediaLimits, PathLike
from starflow_v.data.video_io.timing import native, resample

PYAV = PyAVDecoder()
LIMITS = MediaLimits()


@dataclass(frozen=True)
class Video:
    """A clip in memory."""

    frames: Frames
    """(F,H,W,3), uint8, RGB, as shown on a screen."""

    fps: float
    """Frames per second of `frames`."""

    has_sound: bool
    """Whether the file has a sound track (`VideoWriter(sound_from=...)` carries it over)."""


def probe_video(
    path: PathLike, *, decoder: Decoder = PYAV, limits: MediaLimits = LIMITS
) -> VideoInfo:
    """Size, rate, duration and sound of a clip, by its header and its first frame."""
    return decoder.probe(path, limits=limits)


def iter_frames(
    path: PathLike,
    *,
    fps: float | None = None,
    start: float = 0.0,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    decoder: Decoder = PYAV,
    limits: MediaLimits = LIMITS,
) -> Generator[Frame, None, None]:
    """Frames (H,W,3) of a clip, one at a time.

    Args:
        path: a plain local file.
        fps: the wanted rate, by the frames' times; `None` gives the file's own frames.
        start: seconds from the clip's beginning.
        num_frames: at most so many; `None` is all.
        size: (height, width) that each frame is brought to by `fit`; `None` leaves it.
        decoder: what reads the file.
        limits: how large it may be.

    Raises:
        MediaError: the file is not a clip, is damaged or too large, or ends before `start`.
    """
    if (fps is not None and fps <= 0) or start < 0 or (num_frames is not None and num_frames < 1):
        raise ValueError(
            f"{path}: got fps={fps}, start={start}, num_frames={num_frames}; the rate must be"
            " above 0, the start 0 or later, and at least 1 frame asked for."
        )
    with closing(decoder.frames(path, start=start, limits=limits)) as timed:
        frames = native(timed, start=start) if fps is None else resample(timed, fps, start=start)
        count = 0
        for count, frame in enumerate(islice(frames, num_frames), start=1):
            if count > limits.max_frames:
                raise MediaError(
                    f"{path}: more than {limits.max_frames} frames. Cut it, ask for fewer by"
                    " num_frames, or raise MediaLimits(max_frames=...)."
                )
            yield frame if size is None else fit(frame, *size)
    if count == 0:
        raise MediaError(f"{path}: ends before {start} s. Start earlier.")


def read_video(
    path: PathLike,
    *,
    fps: float | None = None,
    start: float = 0.0,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    decoder: Decoder = PYAV,
    limits: MediaLimits = LIMITS,
) -> Video:
    """A clip in memory; the arguments are those of `iter_frames`.

    Frames are resized as they come, so a long clip of large pictures costs only what is kept.
    """
    info = decoder.probe(path, limits=limits)
    frames = iter_frames(
        path,
        fps=fps,
        start=start,
        num_frames=num_frames,
        size=size,
        decoder=decoder,
        limits=limits,
    )
    return Video(_gather(path, frames, limits), fps or info.fps, info.has_sound)


def _gather(path: PathLike, frames: Iterator[Frame], limits: MediaLimits) -> Frames:
    kept: list[Frame] = []
    for frame in frames:
        if kept and frame.shape != kept[0].shape:
            raise MediaError(
                f"{path}: the picture's size changes from {kept[0].shape[:2]} to {frame.shape[:2]}"
                f" at frame {len(kept)}. Ask for one size by size=(height, width)."
            )
        kept.append(frame)
        if len(kept) * frame.nbytes > limits.max_bytes:
            raise MediaError(
                f"{path}: more than {limits.max_bytes} bytes of frames. Ask for fewer by"
                " num_frames, for smaller ones by size, or go through iter_frames."
            )
    return np.stack(kept)
