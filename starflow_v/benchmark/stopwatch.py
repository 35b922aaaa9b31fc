"""Seconds of each stage of a stream, those of the stages that it waits for taken out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from starflow_v.sampling.stages import Frames

Clock = Callable[[], float]


class Stopwatch:
    """Time that adds up under the names of stages.

    Stages pull their frames from each other, so one starts while another one waits: that one is
    paused. What a GPU still has to do is waited for at every change.

    Args:
        device: where the stages run.
        clock: seconds; `time.thread_time` counts the processor's alone.
    """

    def __init__(self, device: torch.device, clock: Clock = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._device, self._clock = device, clock
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count what happens inside for `name`, and not for what runs around it."""
        self._book()
        self._running.append(name)
        try:
            yield
        finally:
            self._book()
            self._running.pop()

    def watch(self, name: str, frames: Frames) -> Frames:
        """The same frames; the time to make them is `name`'s."""
        while True:
            with self.of(name):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _book(self) -> None:
        synchronize(self._device)
        now = self._clock()
        if self._running:
            name = self._running[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def synchronize(device: torch.device) -> None:
    """Wait for what the device still has to do."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
