"""One call, ready to go: its stages in a row, and the noise that goes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from starflow_v.flow.solver import Cost
from starflow_v.pipelines.known import Kept
from starflow_v.sampling.overlap import Stages, close
from starflow_v.sampling.stages import Frames, gather


class Stage(Protocol):
    """Frames -> frames, see `starflow_v.sampling.stages`."""

    def __call__(self, frames: Frames, /) -> Frames:
        """Hands on what is ready."""


class SolvingStage(Stage, Protocol):
    """A stage that says afterwards what it took."""

    cost: Cost


class AnyRun(Protocol):
    """What a pipeline asks of a run. Its fields are those of `Run`."""

    @property
    def text(self) -> Tensor: ...

    @property
    def null_text(self) -> Tensor | None: ...

    @property
    def frames(self) -> int: ...

    @property
    def shown(self) -> Tensor: ...

    @property
    def hidden(self) -> int: ...

    @property
    def kept(self) -> Kept | None: ...

    @property
    def costs(self) -> tuple[Cost, Cost]: ...

    def as_stream(self, stages: Stages) -> Frames: ...

    def stage_by_stage(self, count: Callable[[], Any]) -> Frames: ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """Noise -> deep -> shallow -> denoise, one frame at a time or stage after stage."""

    noise: Frames
    """Of the frames that are made; known ones had theirs before."""
    deep: SolvingStage
    shallow: SolvingStage
    denoise: Stage
    text: Tensor
    null_text: Tensor | None
    frames: int
    """How many are made."""
    shown: Tensor
    """Clean latents (B, S, c, h, w) of the known frames that the video begins with."""
    hidden: int
    """How many of the first pixel frames are left out."""
    kept: Kept | None = None
    """What is put back into the pixels."""
    most: int | None = None
    """How many frames the shallow blocks solve side by side; `None`: all."""

    @property
    def costs(self) -> tuple[Cost, Cost]:
        """What solving the deep and the shallow blocks has taken so far."""
        return self.deep.cost, self.shallow.cost

    def as_stream(self, stages: Stages) -> Frames:
        """Clean latent frames (B, 1, c, h, w), each as soon as it can be.

        Args:
            stages: how a stage's frames reach the next one, the last one's the decoder.
        """
        device = self.text.device
        u = stages(self.deep(self.noise), device)
        x = stages(self.shallow(u), device)
        clean = stages(self.denoise(x), device)
        try:
            yield from clean
        finally:
            close(u, x, clean)

    def stage_by_stage(self, count: Callable[[], Any]) -> Frames:
        """The same frames; every stage works on all of them before the next one begins.

        The shallow blocks solve as many side by side as `most`, so that their memory is that of one
        window, however long the video is.

        Args:
            count: called after each frame of the deep stage, which takes nearly all the time.
        """
        solved = gather(_counted(self.deep(self.noise), count), at_most=self.most)
        return self.denoise(self.shallow(solved))


def _counted(frames: Frames, count: Callable[[], Any]) -> Frames:
    for frame in frames:
        count()
        yield frame
