"""Keeping freed memory in the process, which glibc otherwise hands back at once.

A training step on a CPU allocates and frees the same large tensors again and again. glibc maps each
of them from the kernel and unmaps it when it is freed, so that the kernel clears every page anew.
Kept in the heap, the pages are used again.
"""

import ctypes
import sys

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2
"""Parameters of glibc's mallopt."""


def keep_freed_memory() -> bool:
    """Tell the allocator to keep what is freed; returns whether it listened (glibc does)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**28))
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)
