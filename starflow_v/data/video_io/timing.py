"""From the times of a file to the times that a model wants.

A player shows a frame until the next one's time comes. Output frame i, at start + i/fps, is
therefore the last source frame that began by then: right for every rate, constant or variable, up
or down, and the identity where the rates agree. (Rounding to the *nearest* frame would show a cut
after a long still too early.)
"""

from collections.abc import Iterable, Iterator

from starflow_v.data.video_io.frames import Frame, TimedFrame

ROUNDING = 1e-3
"""Containers round times to a millisecond at worst; a frame late by that much is on time."""


def native(frames: Iterable[TimedFrame], *, start: float = 0.0) -> Iterator[Frame]:
    """Every frame that begins at `start` or later, as it is."""
    return (frame.pixels for frame in frames if frame.time >= start - ROUNDING)


def resample(frames: Iterable[TimedFrame], fps: float, *, start: float = 0.0) -> Iterator[Frame]:
    """What is on screen at start, start + 1/fps, start + 2/fps, ... until the clip ends.

    >>> from functools import partial
    >>> import numpy as np
    >>> clip = [TimedFrame(t / 10, 0.1, partial(np.full, (1, 1, 3), t)) for t in range(4)]
    >>> [int(frame[0, 0, 0]) for frame in resample(clip, 20)]
    [0, 0, 1, 1, 2, 2, 3, 3]
    >>> [int(frame[0, 0, 0]) for frame in resample(clip, 5, start=0.1)]
    [1, 3]
    """
    tolerance = min(ROUNDING, 0.25 / fps)
    shown: TimedFrame | None = None
    count = 0
    for frame in frames:
        while shown is not None and start + count / fps < frame.time - tolerance:
            yield shown.pixels
            count += 1
        shown = frame
    while shown is not None and start + count / fps < shown.end - tolerance:
        yield shown.pixels
        count += 1
