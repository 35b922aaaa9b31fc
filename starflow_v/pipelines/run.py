"""One call, ready to go: its stages in a row, and the noise that goes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from starflow_v.sampling.stages import DeepStage, DenoiseStage, Frames, ShallowStage, gather


@dataclass(frozen=True, kw_only=True)
class Run:
    """Noise -> deep -> shallow -> denoise, one frame at a time or stage after stage."""

    noise: Frames
    deep: DeepStage
    shallow: ShallowStage
    denoise: DenoiseStage
    text: Tensor
    null_text: Tensor | None

    def as_stream(self) -> Frames:
        """Clean latent frames (B, 1, c, h, w), each as soon as it can be."""
        return self.denoise(self.shallow(self.deep(self.noise)))

    def stage_by_stage(self, count: Callable[[], Any]) -> Frames:
        """The same frames; every stage works on all of them before the next one begins.

        Args:
            count: called after each frame of the deep stage, which takes nearly all the time.
        """
        return self.denoise(self.shallow(gather(_counted(self.deep(self.noise), count))))


def _counted(frames: Frames, count: Callable[[], Any]) -> Frames:
    for frame in frames:
        count()
        yield frame
