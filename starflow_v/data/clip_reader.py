"""Files -> clips of one length, rate and size. Runs in a process of its own, so it imports no
network.

From a longer video come a few clips; clip number j of a file starts at a time that depends on
(seed, task, name, j) alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from starflow_v.data.buckets import Size, frames_of, nearest_size
from starflow_v.data.pixels import Clip
from starflow_v.data.records import Record, is_video
from starflow_v.data.video_io import (
    Decoder,
    MediaError,
    fit,
    iter_frames,
    probe_video,
    read_image,
)
from starflow_v.data.video_io.reading import LIMITS


@dataclass(frozen=True, kw_only=True)
class FileClips:
    """What came from one record."""

    size: Size
    clips: list[Clip]
    """(F,H,W,3) each."""
    sources: list[Clip] | None
    """For pairs the clips to be edited, at the same times."""


@dataclass(frozen=True, kw_only=True)
class ClipReader:
    """Reads the clips of a record."""

    num_frames: int
    """F, 1 + 4k; a still has 1."""
    start_frames: int
    """Of "v2v_start": two latent frames."""
    fps: float
    sizes: tuple[Size, ...]
    clips: int
    """Clips of a video; one where it is not longer than a clip."""
    seed: int
    decoder: Decoder

    def __call__(self, request: tuple[Record, str]) -> FileClips:
        """The clips of a record for a task.

        Raises:
            MediaError: if a file cannot be read or is too short.
        """
        record, task = request
        if not is_video(record.name):
            return self._pictures(record)
        frames = frames_of(task, clip=self.num_frames, start=self.start_frames)
        with record.medium.opened() as path:
            info = probe_video(path, decoder=self.decoder)
            size = nearest_size(self.sizes, info.height, info.width)
            starts = self._starts(record.name, task, spare=info.duration - frames / self.fps)
            clips = [self._read(path, record.name, start, size, frames) for start in starts]
        if record.source is None:
            return FileClips(size=size, clips=clips, sources=None)
        with record.source.opened() as path:
            name = record.source.name
            sources = [self._read(path, name, start, size, frames) for start in starts]
        return FileClips(size=size, clips=clips, sources=sources)

    def _pictures(self, record: Record) -> FileClips:
        """An image, with the image that it was made from if it is one of a pair."""
        media = [it for it in (record.medium, record.source) if it is not None]
        pictures = []
        for medium in media:
            with medium.opened() as path:
                pictures.append(read_image(path))
        size = nearest_size(self.sizes, *pictures[0].shape[:2])
        clip, *sources = [fit(picture, *size)[None] for picture in pictures]
        return FileClips(size=size, clips=[clip], sources=sources or None)

    def _starts(self, name: str, task: str, *, spare: float) -> list[float]:
        """When the clips begin, in seconds; `spare` is how much longer the video is than a clip."""
        if spare <= 0:
            return [0.0]
        keys = [self.seed, crc32(task.encode()), crc32(name.encode(errors="surrogatepass"))]
        return [
            float(np.random.default_rng([*keys, number]).uniform(0, spare))
            for number in range(self.clips)
        ]

    def _read(self, path: Path, name: str, start: float, size: Size, frames: int) -> Clip:
        """Frames at the wanted rate, resized as they come; a file that is too short is no clip."""
        found = list(
            iter_frames(
                path,
                fps=self.fps,
                start=start,
                num_frames=frames,
                size=size,
                decoder=self.decoder,
                limits=LIMITS,
            )
        )
        if len(found) < frames:
            raise MediaError(
                f"{name}: too short, {len(found)} frames at {self.fps:g} fps where a clip has "
                f"{frames}"
            )
        return np.stack(found)
