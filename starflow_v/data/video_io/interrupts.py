"""Ctrl-C and SIGTERM that wait for the end of a step, so that no frame is half-written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is done; then let them do what they do.

    Only the main thread hears of signals, so in others this does nothing, nor is a signal held back
    that Python does not handle.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    handlers = {kind: it for kind in kinds if callable(it := signal.getsignal(kind))}
    held_back: dict[int, FrameType | None] = {}
    for kind in handlers:
        signal.signal(kind, held_back.__setitem__)
    try:
        yield
    finally:
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
        for number, frame in held_back.items():
            handlers[signal.Signals(number)](number, frame)
