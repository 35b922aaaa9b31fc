"""Long clips in chunks: each is a run of its own, which goes on from the end of the last one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from starflow_v.flow.solver import Cost
from starflow_v.pipelines.known import Kept
from starflow_v.pipelines.run import Run
from starflow_v.sampling.overlap import Stages, close
from starflow_v.sampling.stages import Frames


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some latent frames of a video: `known` that are there already, then `made` new ones."""

    start: int
    known: int
    made: int

    @property
    def end(self) -> int:
        """The latent frame behind the last one."""
        return self.start + self.known + self.made


def cut(total: int, *, length: int, overlap: int) -> tuple[Chunk, ...]:
    """The chunks of `total` latent frames, `length` in each and `overlap` of them known.

    The last one has that length, too: it begins earlier, and more of it is known.

    >>> [(chunk.start, chunk.known, chunk.made) for chunk in cut(10, length=5, overlap=2)]
    [(0, 0, 5), (3, 2, 3), (5, 3, 2)]
    """
    chunks = [Chunk(start=0, known=0, made=min(total, length))]
    while (done := chunks[-1].end) < total:
        end = min(done + length - overlap, total)
        chunks.append(Chunk(start=end - length, known=done - end + length, made=end - done))
    return tuple(chunks)


@dataclass(frozen=True, kw_only=True)
class ChunkedRun:
    """The runs of all chunks, one after the other. What is not named here is as in `Run`.

    Args:
        chunks: in order.
        begin: a chunk, and the clean latents (B, known, c, h, w) of its known frames -> its run.
        carry: a chunk that is done, its clean latents (B, T, c, h, w) from its start on, and the
            chunk behind it -> the latents of that one's known frames.
    """

    chunks: Sequence[Chunk]
    begin: Callable[[Chunk, Tensor], Run]
    carry: Callable[[Chunk, Tensor, Chunk], Tensor]
    text: Tensor
    null_text: Tensor | None
    shown: Tensor
    hidden: int
    kept: Kept | None
    _costs: dict[int, tuple[Cost, Cost]] = field(default_factory=dict, init=False)
    """Chunk -> what its run has taken, so that the run itself need not be kept."""

    @property
    def frames(self) -> int:
        """How many are made."""
        return sum(chunk.made for chunk in self.chunks)

    @property
    def costs(self) -> tuple[Cost, Cost]:
        """What solving the deep and the shallow blocks has taken so far."""
        deep, shallow = zip(*self._costs.values(), strict=True)
        return sum(deep, Cost()), sum(shallow, Cost())

    def as_stream(self, stages: Stages) -> Frames:
        """Clean latent frames (B, 1, c, h, w), each as soon as it can be; see `Run`."""
        return self._go(lambda run: run.as_stream(stages))

    def stage_by_stage(self, count: Callable[[], Any]) -> Frames:
        """The same frames, each chunk stage by stage; see `Run`."""
        return self._go(lambda run: run.stage_by_stage(count))

    def _go(self, make: Callable[[Run], Frames]) -> Frames:
        known = self.shown
        pairs = zip(self.chunks, (*self.chunks[1:], None), strict=True)
        for number, (chunk, following) in enumerate(pairs):
            run = self.begin(chunk, known)
            made: list[Tensor] = []
            frames = make(run)
            try:
                for frame in frames:
                    made.append(frame)
                    self._costs[number] = run.costs
                    yield frame
            finally:
                close(frames)
            if following is not None:
                known = self.carry(chunk, torch.cat([known, *made], dim=1), following)
