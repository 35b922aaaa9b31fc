"""The context window: what the deep block remembers when a video is longer than it can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Window(Protocol):
    """Says how many frames the deep block holds, and which come first after a restart."""

    @property
    def frames(self) -> int:
        """The most frames in the block, those carried over included."""

    @property
    def overlap(self) -> int:
        """How many past frames a restart may ask for."""

    def carry(self, history: Sequence[Tensor]) -> list[Tensor]:
        """The frames (B, N, C), between the halves, to commit first after a restart.

        Any number below `frames`, also others than the past ones. It is asked once a restart, in
        order, the restarts within a long prefix included.

        Args:
            history: the last `overlap` frames (all, if there are fewer), the newest last.
        """


@dataclass(frozen=True)
class ContextWindow:
    """When `frames` are full, start afresh with the last `overlap` frames as the prefix.

    The released 7B model holds 21 frames and carries 16.
    """

    frames: int
    overlap: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.frames:
            raise ValueError(
                f"a window of {self.frames} frames cannot carry {self.overlap}: the overlap must "
                "be at least 0 and smaller than the window"
            )

    def carry(self, history: Sequence[Tensor]) -> list[Tensor]:
        return list(history)[-self.overlap :] if self.overlap else []
