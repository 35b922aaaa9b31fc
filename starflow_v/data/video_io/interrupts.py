"""Ctrl-C that waits for the end of a step, so that no frame is half-written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done; then let it do what it does.

    Only the main thread hears of signals, so in others this does nothing.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held_back: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _number, frame: held_back.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held_back:
            handler(signal.SIGINT, held_back[-1])
