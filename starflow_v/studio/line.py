"""The queue of a device: one job at a time, in the order in which they came."""

from __future__ import annotations

import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Enum, auto
from pathlib import Path

from starflow_v.cli.common.failures import describe, is_usage


class State(Enum):
    """Where a job stands."""

    WAITING = auto()
    RUNNING = auto()
    DONE = auto()
    STOPPED = auto()
    """Before it began: there is nothing to show."""
    FAILED = auto()


class Job(ABC):
    """Work for the device. `run` looks at `stopping` now and then.

    Args:
        files: what it reads.
    """

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self.files = frozenset(files)
        self.state = State.WAITING
        self.failure = ""
        """Why it failed, in words for the visitor."""
        self._stop = threading.Event()
        self._over = threading.Event()
        self._lock = threading.RLock()
        self._afterwards: list[Callable[[], None]] = []

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._over.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End as soon as it can be."""
        self._stop.set()

    @abstractmethod
    def run(self) -> None:
        """Do the work, in the thread of the line."""

    def when_over(self, action: Callable[[], None]) -> None:
        """Do something once nothing more will happen, at once if that is so."""
        with self._lock:
            if not self.over:
                self._afterwards.append(action)
                return
        action()

    def perform(self) -> None:
        """Run, and keep what comes of it. An error of the program is told on the terminal."""
        if self.stopping:
            self.end(State.STOPPED)
            return
        self.state = State.RUNNING
        try:
            self.run()
        except Exception as error:
            self.failure = explain(error)
            self.end(State.FAILED)
        else:
            self.end(State.DONE)

    def end(self, state: State) -> None:
        """Nothing more will happen but what was to be done then."""
        with self._lock:
            self.state = state
            for action in self._afterwards:
                try:
                    action()
                except Exception:  # the next job must come all the same
                    traceback.print_exc()
            self._over.set()


class Line:
    """Jobs of one device.

    Args:
        longest: how many may wait.
    """

    def __init__(self, *, longest: int) -> None:
        self._longest = longest
        self._jobs: list[Job] = []  # the first one is at work
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="studio", daemon=True)
        self._thread.start()

    def enter(self, job: Job) -> None:
        """Take the last place; a `ValueError` if the queue is full."""
        with self._changed:
            if not self._open:
                raise ValueError("The studio is being closed.")
            if len(self._jobs) > self._longest:
                raise ValueError(f"{self._longest} others are waiting. Try again in a while.")
            self._jobs.append(job)
            self._changed.notify_all()

    def place(self, job: Job) -> int:
        """How many are before it: 0 once it is at work."""
        with self._changed:
            return self._jobs.index(job) if job in self._jobs else 0

    def leave(self, job: Job) -> None:
        """Stop a job; one that waits gives up its place."""
        job.stop()
        with self._changed:
            if job in self._jobs[1:]:
                self._jobs.remove(job)
                job.end(State.STOPPED)

    def close(self, *, patience: float = 60.0) -> None:
        """Stop all jobs, and wait so many seconds at most for the one at work."""
        with self._changed:
            self._open = False
            jobs = list(self._jobs)
            self._changed.notify_all()
        for job in reversed(jobs):
            self.leave(job)
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or not self._open)
                if not self._jobs:
                    return
                job = self._jobs[0]
            job.perform()
            with self._changed:
                self._jobs.remove(job)


def explain(error: Exception) -> str:
    """What went wrong, for the visitor; what is no fault of theirs is told on the terminal."""
    if is_usage(error):
        return describe(error)
    traceback.print_exception(error)
    return f"It failed ({type(error).__name__}); the studio's terminal says more."
