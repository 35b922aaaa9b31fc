"""A clip that every demo can begin with: a scene that the embedded model was never trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights, canonical_caption


def scene(index: int = 0) -> tuple[NDArray[np.uint8], str]:
    """A clip (17, 64, 64, 3) at 8 frames per second, and its caption."""
    tasks = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    stream = SceneStream(0, StreamSettings(tasks=tasks, two_objects=0.0), held_out=True)
    sample = stream.sample(index)
    return sample.frames, canonical_caption(sample.scene)


def output(description: str | None, name: str) -> Path:
    """Where a demo writes: its only option."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("outputs") / name)
    return parser.parse_args().output
