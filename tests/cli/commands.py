"""What tests of the command line share: they run commands and look at what is left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVPipeline
from starflow_v.cli.main import app
from starflow_v.data.video_io import read_image

PROMPTS = "a red circle\n# a comment\n\na blue circle moves right\na big red circle\n"
"""A file of prompts: three and a comment."""


def generate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def frames_of(folder: Path) -> np.ndarray:
    """(F,H,W,3) of a folder of PNGs."""
    return np.stack([read_image(path) for path in sorted(folder.glob("*.png"))])


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def stop_after(monkeypatch: pytest.MonkeyPatch, chunks: int, error: BaseException) -> None:
    """Makes the pipeline's stream raise `error` after some chunks of frames."""
    stream = StarFlowVPipeline.stream

    def stopped(self: StarFlowVPipeline, *args: Any, **kwargs: Any) -> Iterator[np.ndarray]:
        for index, frames in enumerate(stream(self, *args, **kwargs)):
            if index == chunks:
                raise error
            yield frames

    monkeypatch.setattr(StarFlowVPipeline, "stream", stopped)
