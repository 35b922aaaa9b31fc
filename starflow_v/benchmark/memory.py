"""The most memory that something held while it ran."""

from __future__ import annotations

import ctypes
import gc
import threading
from types import TracebackType

import psutil
import torch


class PeakMemory:
    """A context around one run, model and all: on CUDA what PyTorch had allocated, else what was
    resident of the process, Python and its libraries included.

    Args:
        device: where the run is.
        interval: seconds between two looks at the process.
    """

    def __init__(self, device: torch.device, *, interval: float = 0.005) -> None:
        self.bytes = 0
        self._device, self._interval = device, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            _give_back()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device)
            return
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, int(process.memory_info().rss))
            if self._stop.wait(self._interval):
                return


def _give_back() -> None:
    """Return to the system what was freed and kept for later, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return
