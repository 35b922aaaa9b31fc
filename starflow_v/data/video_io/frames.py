"""The words that readers share: a frame and its time, a clip's facts, a decoder of files."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from starflow_v.data.video_io.safety import MediaLimits, PathLike

Frame: TypeAlias = npt.NDArray[np.uint8]
"""One picture, (H,W,3), RGB."""

Frames: TypeAlias = npt.NDArray[np.uint8]
"""A clip, (F,H,W,3), RGB."""


@dataclass(frozen=True)
class TimedFrame:
    """A picture, shown from `time` on for `duration`, in seconds; a clip begins at 0."""

    time: float
    duration: float
    load: Callable[[], Frame]

    @cached_property
    def pixels(self) -> Frame:
        """The picture, made when it is first asked for: frames that are skipped cost nothing."""
        return self.load()

    @property
    def end(self) -> float:
        return self.time + self.duration


TimedFrames: TypeAlias = Generator[TimedFrame, None, None]
"""Frames of an open file; closing the generator closes the file."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a clip's header says. Counts and durations of headers are claims, not measurements."""

    height: int
    """Rows of a picture as it is shown (after turning)."""

    width: int
    """Columns of a picture as it is shown (after turning)."""

    rotation: int
    """Degrees, counter-clockwise, by which stored pictures are turned to be shown."""

    fps: float
    """Frames per second on average; 1.0 where the file does not say (a single frame)."""

    duration: float
    """Seconds; 0.0 where the file does not say."""

    has_sound: bool
    """Whether there is a sound track."""


class Decoder(Protocol):
    """A way to read files: `PyAVDecoder`, `DecordDecoder`.

    Both methods raise `MediaError` for what is not a readable clip.
    """

    def probe(self, path: PathLike, *, limits: MediaLimits) -> VideoInfo:
        """The facts of a clip, without decoding it."""
        ...

    def frames(self, path: PathLike, *, start: float, limits: MediaLimits) -> TimedFrames:
        """The frames in the order of their times; the first one is on screen at `start` or before.

        One frame is in memory at a time; the file is closed when the generator ends or is closed.
        """
        ...
