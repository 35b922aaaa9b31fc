"""Where frames go besides mp4: animations, folders of pictures, one picture.

A sink writes to a place that nobody looks at yet; `VideoWriter` gives the place its name.
"""

import shutil
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from PIL import Image

from starflow_v.data.video_io.frames import Frame

FRAME_NAME = "frame_{:05d}.png"
MAX_GIF_FPS = 50
"""GIF counts hundredths of a second, and browsers slow down frames of a single one."""


class Sink(Protocol):
    """Takes frames (H,W,3), all of one size."""

    def write(self, frame: Frame) -> None:
        """Take the next frame."""
        ...

    def finish(self) -> None:
        """Make the file whole."""
        ...

    def discard(self) -> None:
        """Stop, and remove what was written."""
        ...


@dataclass
class AnimationSink:
    """GIF or WebP. Frames wait in memory until all are there (bytes a pixel: WebP 3, GIF 1)."""

    part: Path
    fps: float
    format: str
    images: list[Image.Image] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.format == "GIF" and self.fps > MAX_GIF_FPS:
            raise ValueError(
                f"{self.part.stem}: a GIF shows at most {MAX_GIF_FPS} frames per second, got"
                f" {self.fps}. Write an .mp4 or a .webp, or lower the rate."
            )

    def write(self, frame: Frame) -> None:
        image = Image.fromarray(frame)
        self.images.append(image.quantize(256) if self.format == "GIF" else image)

    def finish(self) -> None:
        settings = {"quality": 90, "method": 4} if self.format == "WEBP" else {"optimize": False}
        self.images[0].save(
            self.part,
            self.format,
            save_all=True,
            append_images=self.images[1:],
            duration=self._durations(),
            loop=0,
            **settings,
        )

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)

    def _durations(self) -> list[int]:
        """Milliseconds of each frame, rounded to the format's tick so that errors do not add up."""
        tick = 10 if self.format == "GIF" else 1
        ends = [round(i * 1000 / tick / self.fps) for i in range(len(self.images) + 1)]
        return [tick * (end - begin) for begin, end in pairwise(ends)]


@dataclass
class FolderSink:
    """A folder of lossless pictures, `frame_00000.png` and so on."""

    part: Path
    count: int = 0

    def __post_init__(self) -> None:
        if self.part.exists():  # left by a run that was killed
            remove_frames(self.part)
        self.part.mkdir()

    def write(self, frame: Frame) -> None:
        Image.fromarray(frame).save(self.part / FRAME_NAME.format(self.count), "PNG")
        self.count += 1

    def finish(self) -> None:
        pass

    def discard(self) -> None:
        shutil.rmtree(self.part, ignore_errors=True)


@dataclass
class PictureSink:
    """One lossless picture."""

    part: Path
    image: Image.Image | None = None

    def write(self, frame: Frame) -> None:
        if self.image is not None:
            raise ValueError(
                f"{self.part.stem}: a .png holds one frame, got a second. Give a name without"
                " a suffix for a folder of PNGs, or one in .mp4, .gif or .webp."
            )
        self.image = Image.fromarray(frame)

    def finish(self) -> None:
        assert self.image is not None
        self.image.save(self.part, "PNG")

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)


def check_frames_only(folder: Path) -> None:
    """Refuse a folder that holds anything but frames: it is not ours to replace."""
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, not a folder of frames. Choose another name.")
    strangers = [entry.name for entry in folder.iterdir() if not entry.match("frame_*.png")]
    if strangers:
        raise FileExistsError(
            f"{folder} holds {strangers[0]!r}, which is not a frame, so it is left alone."
            " Choose another name."
        )


def remove_frames(folder: Path) -> None:
    """Remove a folder of frames."""
    check_frames_only(folder)
    shutil.rmtree(folder)
