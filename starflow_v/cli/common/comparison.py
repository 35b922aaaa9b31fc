"""What was given beside what was made: a video of both, and a sheet of their frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from starflow_v.cli.common.names import comparison_paths
from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.video_io import Frames, VideoWriter

GAP = 4
"""White columns between the two pictures."""
COLUMNS = 6
"""Frames on the sheet."""


class Comparison:
    """Takes a video's frames as they come; made by `open_comparison`.

    Args:
        writer: where both go, side by side.
        reference: what was given, (F,H,W,3); its last frame stands for all later ones.
        total: how many frames the video will have.
    """

    def __init__(self, writer: VideoWriter, reference: Frames, total: int) -> None:
        self._writer, self._reference = writer, reference
        self._chosen = set(np.linspace(0, total - 1, COLUMNS).round().astype(int).tolist())
        self._sheet: list[tuple[Frames, Frames]] = []

    def write(self, frames: Frames) -> None:
        """Append frames (k,H,W,3) of the video."""
        for frame in frames:
            index = self._writer.frames_written
            given = self._reference[min(index, len(self._reference) - 1)]
            gap = np.full((frame.shape[0], GAP, 3), 255, np.uint8)
            self._writer.write(np.concatenate((given, gap, frame), axis=1)[None])
            if index in self._chosen:
                self._sheet.append((given, frame))

    def sheet(self) -> Frames:
        """A row of what was given, and a row of what was made."""
        given, made = (np.stack(row) for row in zip(*self._sheet, strict=True))
        return contact_sheet([given, made], ["given", "made"], columns=COLUMNS)


@contextmanager
def open_comparison(
    video: Path, reference: Frames, *, total: int, fps: float, overwrite: bool
) -> Iterator[Comparison]:
    """The two files beside `video`, whole or absent."""
    moving, still = comparison_paths(video)
    with VideoWriter(moving, fps=fps, overwrite=overwrite) as writer:
        comparison = Comparison(writer, reference, total)
        yield comparison
    with VideoWriter(still, fps=fps, overwrite=overwrite) as picture:
        picture.write(comparison.sheet()[None])
