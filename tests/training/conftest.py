"""Reading what a run logged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Losses = tuple[float | None, float | None]


@pytest.fixture
def losses() -> Callable[[Path], dict[int, Losses]]:
    """Folder of a run -> step -> both losses of the toy recipe."""

    def read(folder: Path) -> dict[int, Losses]:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return {it["step"]: (it["loss"], it["pupil_loss"]) for it in lines if it["event"] == "step"}

    return read
