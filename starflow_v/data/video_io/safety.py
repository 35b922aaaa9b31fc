"""What may be opened at all: plain local files, of moderate size.

A name such as `concat:a|b`, `subfile,,start,0:a` or `http://host/a` is a program for FFmpeg, not a
file; a text file that begins with `ffconcat` makes it open *other* files. Hence two rules: a path
is opened here, by the operating system, and decoders are handed the open file; and each decoder
reads only the formats on its own list, none of which can name another file.
"""

import os
import stat
from dataclasses import dataclass
from typing import BinaryIO

PathLike = str | os.PathLike[str]


class MediaError(ValueError):
    """A file that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class MediaLimits:
    """How much a file may ask for before it is refused."""

    max_pixels: int = 2**26
    """Pixels of one picture: 64 Mi, twice the size of an 8K frame."""

    max_frames: int = 100_000
    """Frames taken from one clip: about an hour at 30 frames per second."""

    max_bytes: int = 2**33
    """Bytes of all the frames that `read_video` holds at once: 8 GiB."""

    def check_picture(self, name: str, width: int, height: int) -> None:
        """Refuse a picture by its header, before any of it is decoded."""
        if width * height > self.max_pixels:
            raise MediaError(
                f"{name}: pictures of {width}x{height} pixels exceed the limit of {self.max_pixels}"
                " pixels. Make it smaller first, or raise MediaLimits(max_pixels=...)."
            )


def open_plain_file(path: PathLike) -> BinaryIO:
    """Open an existing regular file for reading, and nothing else.

    The file is checked after it was opened, without waiting (a named pipe would wait for ever), so
    nothing can be put in its place in between.
    """
    name = os.fspath(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(name, flags)
    except (OSError, ValueError) as error:
        raise MediaError(_why_not(name, error)) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(descriptor)
        kind = "is empty" if stat.S_ISREG(status.st_mode) else "is not a regular file"
        raise MediaError(f"{name}: the file {kind}. Give the path of a video or an image.")
    return os.fdopen(descriptor, "rb")


def _why_not(name: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{name}: may not be read. Change its permissions, or copy it."
    looks_like_protocol = name == "-" or ":" in name[2:] or name.startswith("subfile,")
    if looks_like_protocol:
        return f"{name}: only files on this disk are opened, no addresses and no protocols."
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"{name}: cannot be opened ({reason}). Give the path of an existing file."
