"""Memory of this process while something runs, from Linux's /proc.

Pages of a mapped file count as resident, but the kernel may drop them at any time: they are memory
that is used, not memory that is needed. So two peaks are told: of anonymous pages (allocated, must
stay) and of all resident pages (with what is mapped).
"""

import threading
import time
from pathlib import Path
from types import TracebackType

STATUS = Path("/proc/self/status")


def resident() -> tuple[int, int]:
    """Anonymous and all resident bytes of this process, now."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text("ascii").splitlines())
    anonymous, total = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))
    return anonymous, total


class PeakMemory:
    """A context that samples every few milliseconds; peaks are above what there was before."""

    def __init__(self, *, interval: float = 0.002) -> None:
        self.interval = interval
        self.anonymous = 0
        """Peak of allocated bytes above the beginning."""
        self.resident = 0
        """The same with the pages of mapped files."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._before = resident()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._note()

    def _sample(self) -> None:
        while not self._stop.is_set():
            self._note()
            time.sleep(self.interval)

    def _note(self) -> None:
        anonymous, total = resident()
        self.anonymous = max(self.anonymous, anonymous - self._before[0])
        self.resident = max(self.resident, total - self._before[1])
