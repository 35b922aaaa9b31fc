"""A thread that makes frames, and the belt that carries them to whoever takes them.

On CUDA the thread has a stream of its own: a frame is handed on before its numbers are there, with
the event after which they are.
"""

from __future__ import annotations

import atexit
import contextvars
import threading
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from starflow_v.sampling.abandoning import WANTED, AbandonedError
from starflow_v.sampling.stages import Frames
from starflow_v.sampling.thread_modes import ThreadModes
from starflow_v.sampling.trouble import Trouble


@dataclass(frozen=True)
class Made:
    """A frame, and the event after which its numbers are there (`None`: at once)."""

    frame: Tensor
    done: torch.cuda.Event | None

    def arrive(self, device: torch.device) -> Tensor:
        """The frame, for the stream of the thread that asks."""
        if self.done is not None:
            here = torch.cuda.current_stream(device)
            here.wait_event(self.done)
            self.frame.record_stream(here)
        return self.frame


class Belt:
    """Carries frames from one thread to another, at most `room` at once.

    Its lock is one that a thread may take twice: the garbage collector may close a stream at any
    point of any thread, even of the one that feeds it.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Made] = deque()
        self._closed = self._ended = False
        self._trouble = Trouble()

    def put(self, made: Made) -> bool:
        """Wait for room; False: nobody wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._room)
            if not self._closed:
                self._waiting.append(made)
                self._changed.notify_all()
            return not self._closed

    def end(self, failure: BaseException | None) -> None:
        """There is no more: the source is at its end, or has failed."""
        with self._changed:
            self._ended = True
            self._trouble.keep(None if self._closed else failure)
            self._changed.notify_all()

    def take(self) -> Made | None:
        """Wait for a frame; `None`: there is no more. What the source raised is raised here."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended or self._closed)
            if self._closed:
                raise AbandonedError
            if self._waiting:
                made = self._waiting.popleft()
                self._changed.notify_all()
                return made
        self._trouble.check()
        return None

    def wanted(self) -> bool:
        """Whether anybody wants more."""
        return not self._closed

    def close(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._closed = True
            self._trouble.keep(None)
            self._waiting.clear()
            self._changed.notify_all()


class Worker:
    """A thread that puts frames on a belt; it must be made where they are wanted.

    A thread that never ends would keep the interpreter from ending, so it is a daemon; one that is
    still at work then would crash it, so `atexit` stops it.

    Whoever stops it waits for it and for those that its thread has made, which it takes frames
    from; but no thread of a worker waits for another. The garbage collector may let go of a row of
    stages inside one of them: the last would wait for the one before, and so on back to the thread
    that does the waiting.
    """

    def __init__(self, belt: Belt, frames: Frames, device: torch.device) -> None:
        self._belt, self._device = belt, device
        self._stream = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))
        self._sources: list[Worker] = []
        taker = _HERE.get()
        if taker is not None:
            taker._sources.append(self)
        run = contextvars.copy_context().run
        modes = ThreadModes.here(device)
        self._thread = threading.Thread(
            target=run, args=(self._work, frames, modes), name="starflow_v stage", daemon=True
        )

    def start(self) -> None:
        atexit.register(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, and wait for it."""
        self._belt.close()
        if self._thread.ident is None or _HERE.get() is not None:
            return
        self._thread.join()
        for source in self._sources:
            source.stop()
        atexit.unregister(self.stop)
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def _work(self, frames: Frames, modes: ThreadModes) -> None:
        _HERE.set(self)
        WANTED.set(self._belt.wanted)
        try:
            with modes.entered(self._stream):
                self._feed(frames)
        except BaseException as error:
            self._belt.end(error)
        else:
            self._belt.end(None)

    def _feed(self, frames: Frames) -> None:
        try:
            for frame in frames:
                done = None if self._stream is None else self._stream.record_event()
                if not self._belt.put(Made(frame, done)):
                    break
        finally:
            end = getattr(frames, "close", None)
            if end is not None:
                end()


_HERE: ContextVar[Worker | None] = ContextVar("_HERE", default=None)
"""The worker whose thread this is; `None`: of none."""
