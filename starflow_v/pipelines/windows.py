"""How long a model's window is, from its settings alone (and without torch, for `starflow-v info`).

A model that knows how to go on was trained for it on clips without their first latent frame, so its
window holds one frame less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def goes_on(settings: Mapping[str, Any]) -> bool:
    """Whether the model knows frames that go on from others, told by "(extend)"."""
    return "extend" in (settings.get("tasks") or ()) and settings["window_frames"] > 2


def window_sizes(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Latent frames of the window, and how many of them a restart carries over."""
    frames, overlap = settings["window_frames"], settings["window_overlap"]
    return (frames - 1, min(overlap, frames - 2)) if goes_on(settings) else (frames, overlap)
