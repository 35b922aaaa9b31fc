"""What a data set of files consists of: media, and records that give them captions.

A *medium* is a video or an image that can be had as a plain local file for a moment: a file of a
folder, or a member of a tar archive. A *record* is a medium with its captions and, for video to
video, the medium that it was made from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Protocol

from starflow_v.data.buckets import OF_PAIRS, OF_STILLS
from starflow_v.data.video_io import MediaError
from starflow_v.data.video_io.safety import open_plain_file

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".gif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


class Medium(Protocol):
    """A video or an image somewhere on this disk."""

    @property
    def name(self) -> str:
        """What messages call it; its suffix tells its kind."""

    @property
    def identity(self) -> str:
        """Changes when its content does, as far as can be told without reading it."""

    def opened(self) -> AbstractContextManager[Path]:
        """Its content as a plain file, for as long as the context lasts."""


@dataclass(frozen=True)
class LocalFile:
    """A file of a folder."""

    name: str
    """As the metadata has it."""
    path: Path

    @property
    def identity(self) -> str:
        size = self.path.stat().st_size if self.path.is_file() else None
        return f"{self.name} {size}"

    @contextmanager
    def opened(self) -> Iterator[Path]:
        yield self.path


@dataclass(frozen=True)
class TarMember:
    """A member of an uncompressed tar archive, found by its place; nothing is ever extracted into
    a folder by the member's own name."""

    name: str
    archive: Path
    offset: int
    """Bytes before its content."""
    size: int
    """Bytes of its content."""

    @property
    def identity(self) -> str:
        return f"{self.name} {self.offset} {self.size}"

    @contextmanager
    def opened(self) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(suffix=suffix_of(self.name)) as copy:
            with open_plain_file(self.archive) as archive:
                archive.seek(self.offset)
                rest = self.size
                while rest and (piece := archive.read(min(rest, 1 << 20))):
                    copy.write(piece)
                    rest -= len(piece)
            if rest:
                raise MediaError(f"{self.name}: the archive {self.archive} ends inside it.")
            copy.flush()
            yield Path(copy.name)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One example of a data set."""

    medium: Medium
    """The video or image to learn; in video to video the target."""
    captions: tuple[str, ...]
    """Wordings of its caption; in video to video the instruction."""
    source: Medium | None = None
    """The video that the target was made from."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.medium.name

    def serves(self, task: str) -> bool:
        """Whether it is an example of a task. A pair's caption is an instruction, so pairs serve
        edits alone; stills are also taken from videos."""
        if (task in OF_PAIRS) != (self.source is not None):
            return False
        return task in OF_STILLS or is_video(self.name)

    def identity(self) -> str:
        """Changes when media or captions do."""
        source = self.source.identity if self.source is not None else ""
        return "\n".join((self.medium.identity, source, *self.captions))


def suffix_of(name: str) -> str:
    """`.mp4` of `a/b.MP4`."""
    return PurePosixPath(name).suffix.lower()


def is_video(name: str) -> bool:
    """Whether a name is a video's."""
    return suffix_of(name) in VIDEO_SUFFIXES


def is_image(name: str) -> bool:
    """Whether a name is an image's."""
    return suffix_of(name) in IMAGE_SUFFIXES


def split_held_out(
    records: list[Record], share: float, *, seed: int
) -> tuple[list[Record], list[Record]]:
    """Records to train on, and those that are only measured.

    A record is held out by a hash of its name, so it stays so when others come or go; if the share
    is above 0, at least one of them is.
    """
    if share == 0:
        return records, []
    places = {record.name: _place(record.name, seed) for record in records}
    border = max(share, min(places.values(), default=0.0))
    held_out = [it for it in records if places[it.name] <= border]
    return [it for it in records if places[it.name] > border], held_out


def _place(name: str, seed: int) -> float:
    """A number in [0,1) that belongs to a name."""
    digest = sha256(f"{seed} {name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
