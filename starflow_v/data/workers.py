"""A function in processes of their own, which may crash or hang without harm.

A decoder is C code that reads what strangers wrote: it may loop for ever or die, and no exception
tells of either. So files are read in other processes. One that does not answer within the timeout
is killed, one that dies is missed, its item fails with a reason, and a new process takes its place.
Processes are also replaced after some hundred items, which ends whatever they leak. They share
nothing with the parent but a pipe: if the parent dies, the pipe closes and they end.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

START_SECONDS = 300.0
"""How long a new process may take to import what it needs."""
AHEAD = 4
"""Results a worker that may wait for an earlier one."""
ITEMS_OF_A_PROCESS = 256


@dataclass(frozen=True)
class Failure:
    """An item that gave no result."""

    reason: str


class WorkerPool(Generic[Item, Result]):
    """`map` over worker processes, results in order. Its processes start when they are needed, and
    end with the context that it is; it may be entered again.

    Args:
        work: a picklable function; what it raises becomes a `Failure`.
        workers: processes; 0 works in this very process, where nothing can be killed.
        timeout: seconds for an item.
    """

    def __init__(
        self, work: Callable[[Item], Result], *, workers: int = 1, timeout: float = 60.0
    ) -> None:
        self._work = work
        self._timeout = timeout
        self._count = workers
        self._workers: list[_Worker] = []
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> WorkerPool[Item, Result]:
        self._scratch = tempfile.TemporaryDirectory(prefix="starflow-v-")
        self._workers = [_Worker(self._work, self._scratch.name) for _ in range(self._count)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []
        if self._scratch is not None:
            self._scratch.cleanup()

    def map(self, items: Iterable[Item]) -> Iterator[Result | Failure]:
        """The result of each item, in order; a few are worked on ahead."""
        assert self._scratch is not None, "a pool works inside its context"
        if not self._workers:
            yield from (_attempt(self._work, item) for item in items)
            return
        source = enumerate(items)
        done: dict[int, Result | Failure] = {}
        wanted, exhausted = 0, False
        try:
            while True:
                for worker in self._workers:
                    ahead = len(done) < AHEAD * len(self._workers)
                    if ahead and worker.number is None and not exhausted:
                        following = next(source, None)
                        exhausted = following is None
                        if following is not None:
                            worker.begin(*following)
                busy = [worker for worker in self._workers if worker.number is not None]
                if not busy and not done:
                    return
                if wanted not in done:
                    done.update(_collect(busy, self._timeout))
                while wanted in done:
                    yield done.pop(wanted)
                    wanted += 1
        finally:
            for worker in self._workers:
                if worker.number is not None:
                    worker.stop()


@dataclass
class _Worker:
    """A process that is started when it is needed, and the item that it works on."""

    work: Callable[[Any], Any]
    scratch: str
    number: int | None = None
    _process: BaseProcess | None = None
    _pipe: Connection | None = None
    _since: float = 0.0
    _served: int = field(default=0)

    @property
    def pipe(self) -> Connection:
        assert self._pipe is not None
        return self._pipe

    def begin(self, number: int, item: Any) -> None:
        """Hand out an item; at need with a new process."""
        if self._process is None or self._served == ITEMS_OF_A_PROCESS:
            self.stop()
            self._start()
        self.number, self._served = number, self._served + 1
        with suppress(BrokenPipeError):  # it died: `_collect` hears of it
            self.pipe.send(item)
        self._since = time.monotonic()

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self.pipe.close()
        self._process = self._pipe = self.number = None

    def deadline(self, timeout: float) -> float:
        """When the present item has taken too long."""
        return self._since + timeout

    def result(self) -> Any:
        """What came through the pipe: a result, a failure, or the end of the process."""
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            assert self._process is not None
            self._process.join()
            code = self._process.exitcode
            self.stop()
            return Failure(f"its reader died (exit code {code})")

    def _start(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self.work, self.scratch)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._served = 0
        if not self.pipe.poll(START_SECONDS):
            self.stop()
            raise TimeoutError(f"a reading process did not start within {START_SECONDS:g} s")
        try:
            self.pipe.recv()
        except EOFError:
            self.stop()
            raise RuntimeError("a reading process ended at its start: see its message") from None


def _collect(busy: list[_Worker], timeout: float) -> dict[int, Any]:
    """Results that have come, failures of those that took too long; waits until there is one."""
    results: dict[int, Any] = {}
    while not results:
        rest = min(worker.deadline(timeout) for worker in busy) - time.monotonic()
        ready = set(wait([worker.pipe for worker in busy], timeout=max(0.0, rest)))
        for worker in busy:
            number = worker.number
            assert number is not None
            if worker.pipe in ready:
                results[number] = worker.result()
                worker.number = None
            elif time.monotonic() > worker.deadline(timeout):
                worker.stop()
                results[number] = Failure(f"took longer than {timeout:g} s to read")
    return results


def _context() -> Any:
    """How processes begin: copies of a clean one that has the imports done, where that is known."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["starflow_v.data.clip_reader"])
    return context


def _serve(pipe: Connection, work: Callable[[Any], Any], scratch: str) -> None:
    """The life of a process: an item, its result, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    tempfile.tempdir = scratch
    pipe.send("ready")
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        pipe.send(_attempt(work, item))


def _attempt(work: Callable[[Any], Any], item: Any) -> Any:
    """A result, or why there is none. Decoders raise whatever they like."""
    try:
        return work(item)
    except Exception as error:
        text = " ".join(str(error).split())
        known = isinstance(error, ValueError) and text
        return Failure(text if known else f"{type(error).__name__}: {text}")
