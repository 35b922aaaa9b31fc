"""Stages side by side: threads that work ahead of whoever takes their frames.

    in series      deep 1, rest 1, deep 2, rest 2, ...            one thread does it all
    side by side   deep 1, deep 2, deep 3, ...                    a thread of its own
                           rest 1, rest 2, rest 3, ...            another one

A stage is an iterator of frames, and so is `Ahead`: a thread pulls it, and it hands on the same
frames in the same order. Every frame is made by the same calls as in series, with as many CPU
threads each, so the bits are the same.

Nothing runs before the first frame is asked for. When an `Ahead` is closed, or nobody holds it any
longer, its thread ends at the next evaluation of a network, and is waited for. What the source
raises, the taker gets, traceback and all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from starflow_v.sampling.stages import Frames
from starflow_v.sampling.worker import Belt, Worker


class Stages(Protocol):
    """How the frames of a stage reach what comes after it."""

    def __call__(self, frames: Frames, device: torch.device) -> Frames:
        """The same frames.

        Args:
            frames: (B, k, c, h, w) each.
            device: where they are made.
        """


@dataclass(frozen=True)
class InSeries:
    """A frame is made when it is asked for."""

    def __call__(self, frames: Frames, device: torch.device) -> Frames:
        return frames


@dataclass(frozen=True)
class SideBySide:
    """A frame is made by a thread of its own, ahead of time; on CUDA, in a stream of its own.

    Args:
        room: how many frames may wait to be taken; the thread is at one more.
    """

    room: int = 1

    def __post_init__(self) -> None:
        if self.room < 1:
            raise ValueError(f"room={self.room}: give 1 frame or more")

    def __call__(self, frames: Frames, device: torch.device) -> Frames:
        return Ahead(frames, device, room=self.room)


def usual_stages(models: Iterable[nn.Module], device: torch.device) -> Stages:
    """Side by side where nothing speaks against it.

    Hooks must not meet: those that bring weights for one network at a time, and those that talk to
    other processes, which must all say the same in one order. Other kinds of devices have not been
    tried.
    """
    hooked = any(_has_hooks(module) for model in models for module in model.modules())
    return SideBySide() if device.type in ("cpu", "cuda") and not hooked else InSeries()


def _has_hooks(module: nn.Module) -> bool:
    """PyTorch's (`starflow_v.parallel` acts through them), accelerate's or diffusers'."""
    names = ("_forward_pre_hooks", "_forward_hooks", "_hf_hook", "_diffusers_hook")
    return any(getattr(module, name, None) for name in names)


def close(*frames: Frames) -> None:
    """End iterators of frames early, in the order of their stages: all threads are told at once.

    One that cannot be closed holds nothing but memory.
    """
    for several in frames:
        if isinstance(several, Ahead):
            several.abandon()
    for several in reversed(frames):
        end = getattr(several, "close", None)
        if end is not None:
            end()


class Ahead(Iterator[Tensor]):
    """An iterator that is pulled by a thread, see `SideBySide`.

    It is no generator: those cannot be closed by one thread while another is in them.

    Args:
        frames: the source, which is the thread's from now on.
        device: where its frames are made.
        room: how many may wait.
    """

    def __init__(self, frames: Frames, device: torch.device, *, room: int) -> None:
        self._frames: Frames | None = frames
        self._device = device
        self._belt = Belt(room)
        self._worker: Worker | None = None
        self._ended = False

    def __next__(self) -> Tensor:
        try:
            if self._frames is not None:
                self._begin(self._frames)
            made = None if self._ended else self._belt.take()
        except BaseException:
            self.close()
            raise
        if made is None:
            self.close()
            raise StopIteration
        return made.arrive(self._device)

    def close(self) -> None:
        """End the thread, and wait for it; no frame is handed on any more."""
        self._ended = True
        self.abandon()
        if self._worker is not None:
            self._worker.stop()

    def abandon(self) -> None:
        """Let the thread end, soon."""
        self._frames = None
        self._belt.close()

    def __del__(self) -> None:
        self.close()

    def _begin(self, frames: Frames) -> None:
        """Start the thread, from the one that takes the frames."""
        self._frames = None
        self._worker = Worker(self._belt, frames, self._device)
        self._worker.start()
