"""Writing frames as they come, to a file that is whole or absent.

`out.mp4` grows as `out.mp4.part` beside its place and takes its name when it is whole. Ctrl-C makes
it a shorter, valid file; any other error removes it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from starflow_v.data.video_io.frames import Frames
from starflow_v.data.video_io.interrupts import uninterrupted
from starflow_v.data.video_io.mp4_sink import Mp4Sink
from starflow_v.data.video_io.safety import PathLike
from starflow_v.data.video_io.sinks import (
    AnimationSink,
    FolderSink,
    PictureSink,
    Sink,
    check_frames_only,
    remove_frames,
)

FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
SUFFIXES = (".mp4", ".gif", ".webp", ".png", "")


class VideoWriter:
    """Writes frames to a video; the file's kind follows from its name.

    - `.mp4`: H.264, plays everywhere; odd sides are padded by one row or column
    - `.gif`, `.webp`: endless animations, collected in memory
    - no suffix: a folder of lossless PNGs
    - `.png`: one frame

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with VideoWriter(f"{folder}/out.mp4", fps=16) as writer:
    ...         for _ in range(3):
    ...             writer.write(np.zeros((4, 64, 64, 3), np.uint8))
    ...     writer.frames_written, writer.path.name
    (12, 'out.mp4')

    Args:
        path: the file to make; missing folders are made.
        fps: frames per second.
        overwrite: whether a file of that name may be replaced.
        crf: mp4 only: x264's rate factor, 0 best to 51 worst; `None` chooses good quality.
        sound_from: mp4 only: a file whose sound is carried over, if it has any.
        sound_start: the second of that file at which our first frame stands.

    Raises:
        FileExistsError: there is such a file already.
        ValueError: a suffix, a rate or frames that cannot be written.
        OSError: the disk is full, or the place may not be written to.
    """

    def __init__(
        self,
        path: PathLike,
        fps: float,
        *,
        overwrite: bool = False,
        crf: int | None = None,
        sound_from: PathLike | None = None,
        sound_start: float = 0.0,
    ) -> None:
        self.path = Path(path)
        self.frames_written = 0
        self._part = self.path.with_name(self.path.name + ".part")
        self._shape: tuple[int, ...] | None = None
        self._closed = False
        if not fps > 0:
            raise ValueError(f"{self.path}: got {fps} frames per second, expected more than 0.")
        _check_place(self.path, overwrite)
        with self._clear_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = self._choose_sink(fps, crf, sound_from, sound_start)

    def write(self, frames: Frames) -> None:
        """Append frames (k,H,W,3), uint8. Ctrl-C waits until a frame is done."""
        shape = frames.shape[1:]
        if frames.dtype != np.uint8 or frames.ndim != 4 or shape[-1] != 3:
            raise ValueError(
                f"{self.path}: got frames {frames.shape} of {frames.dtype}, expected (k,H,W,3) of"
                " uint8."
            )
        if self._shape not in (None, shape):
            raise ValueError(
                f"{self.path}: got frames of {shape[0]}x{shape[1]} after others of"
                f" {self._shape}. All frames of a video have one size."
            )
        self._shape = shape
        for frame in frames:
            with uninterrupted(), self._clear_errors():
                self._sink.write(frame)
                self.frames_written += 1

    def close(self) -> None:
        """Make the file whole and give it its name. Doing so twice does nothing."""
        if self._closed:
            return
        if self.frames_written == 0:
            self.discard()
            raise ValueError(f"{self.path}: no frames were written, so there is no file.")
        self._closed = True
        try:
            with uninterrupted(), self._clear_errors():
                self._sink.finish()
                if self.path.is_dir():
                    remove_frames(self.path)
                self._part.replace(self.path)
        except Exception:
            self._sink.discard()
            raise

    def discard(self) -> None:
        """Stop and remove what was written; a closed file stays."""
        if not self._closed:
            self._closed = True
            self._sink.discard()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = isinstance(error, KeyboardInterrupt) and self.frames_written > 0
        if error is None or interrupted:
            self.close()
        else:
            self.discard()

    def _choose_sink(
        self, fps: float, crf: int | None, sound_from: PathLike | None, sound_start: float
    ) -> Sink:
        match self.path.suffix.lower():
            case ".mp4":
                return Mp4Sink(
                    self._part, fps, crf=crf, sound_from=sound_from, sound_start=sound_start
                )
            case ".gif":
                return AnimationSink(self._part, fps, "GIF")
            case ".webp":
                return AnimationSink(self._part, fps, "WEBP")
            case ".png":
                return PictureSink(self._part)
            case _:
                return FolderSink(self._part)

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise OSError(
                error.errno,
                f"the disk is full after {self.frames_written} frames, nothing was kept;"
                " free some space or write elsewhere",
                str(self.path),
            ) from error


def _check_place(path: Path, overwrite: bool) -> None:
    """Refuse before the work what could not be kept after it."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path}: cannot write {path.suffix!r}. Give a name in .mp4, .gif, .webp or .png (one"
            " frame), or one without a suffix for a folder of PNGs."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists already. Choose another name, or allow it to be overwritten."
        )
    if path.is_dir() and path.suffix:
        raise FileExistsError(f"{path} is a folder. Choose another name.")
    if path.exists() and not path.suffix:
        check_frames_only(path)
