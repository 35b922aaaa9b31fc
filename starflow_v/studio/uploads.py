"""Files from visitors: copied under names of our own, and read by `video_io` within bounds.

A name is never opened as it came: the browser's name is text to be shown. What is kept is the file
as it was (so that a record can name its hash) once all of it has been decoded within the limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starflow_v.data.video_io import Frames, MediaError, fit, iter_frames, probe_video, read_image
from starflow_v.data.video_io.safety import open_plain_file
from starflow_v.studio import preview
from starflow_v.studio.limits import MB, Limits

if TYPE_CHECKING:
    from starflow_v.pipelines.generation import GeneratingPipeline

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
CLIPS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that can be used."""

    path: Path
    """Where it lies, under a name that was chosen here."""
    name: str
    """What the visitor calls it."""
    count: int
    """Frames, at the model's rate."""
    size: tuple[int, int]
    """(height, width) as the model will see it."""
    own_size: tuple[int, int]
    """(height, width) as it was given."""
    shown: Frames
    """The first ones, small enough for a preview, (f,h,w,3)."""


def receive_image(source: Path, place: Path, pipe: GeneratingPipeline, limits: Limits) -> Upload:
    """Take in a picture.

    Args:
        source: what was uploaded.
        place: where it goes, without a suffix.
        pipe: tells the size.
        limits: how large it may be.

    Raises:
        ValueError: it is too large or no picture; nothing is kept.
    """
    copy = _copy(source, place, IMAGES, limits)
    with _kept_if_good(copy, source.name):
        picture = read_image(copy, limits=limits.media)
        own_size = picture.shape[0], picture.shape[1]
        height, width = pipe.nearest_size(*own_size)
        shown = preview.small(fit(picture, height, width)[None])
    name = shown_name(source.name)
    return Upload(
        path=copy, name=name, count=1, size=(height, width), own_size=own_size, shown=shown
    )


def receive_clip(source: Path, place: Path, pipe: GeneratingPipeline, limits: Limits) -> Upload:
    """Take in a clip: all of it is decoded here. The arguments are those of `receive_image`."""
    copy = _copy(source, place, CLIPS, limits)
    with _kept_if_good(copy, source.name):
        info = probe_video(copy, limits=limits.media)
        own_size = info.height, info.width
        size = pipe.nearest_size(*own_size)
        rate = pipe.defaults.frame_rate
        most = int(limits.seconds * rate)
        frames = iter_frames(copy, fps=rate, size=size, num_frames=most + 1, limits=limits.media)
        first = np.stack(list(islice(frames, preview.LONGEST)))
        count = len(first) + sum(1 for _ in frames)
        if count > most:
            raise MediaError(f"{copy}: longer than {limits.seconds:g} seconds. Cut it first.")
    name, shown = shown_name(source.name), preview.small(first)
    return Upload(path=copy, name=name, count=count, size=size, own_size=own_size, shown=shown)


def shown_name(name: str) -> str:
    """A name cut to a line."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _copy(source: Path, place: Path, suffixes: tuple[str, ...], limits: Limits) -> Path:
    suffix = source.suffix.lower()
    if suffix not in suffixes:
        raise MediaError(f"{shown_name(source.name)}: expected a file in {', '.join(suffixes)}.")
    copy = place.with_suffix(suffix)
    with open_plain_file(source) as file:
        data = file.read(limits.upload_bytes + 1)
    if len(data) > limits.upload_bytes:
        raise MediaError(
            f"{shown_name(source.name)}: larger than {limits.upload_bytes // MB} MB. Make it "
            "smaller first."
        )
    copy.write_bytes(data)
    return copy


@contextmanager
def _kept_if_good(copy: Path, name: str) -> Iterator[None]:
    """Removes a file that cannot be used; the message names it as the visitor does."""
    try:
        yield
    except ValueError as error:
        copy.unlink(missing_ok=True)
        raise MediaError(str(error).replace(str(copy), shown_name(name))) from None
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
