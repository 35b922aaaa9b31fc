"""The allocator keeps what is freed."""

import subprocess
import sys

import pytest

from starflow_v.training.engine.memory import keep_freed_memory

COUNT_FAULTS = """
import resource, torch
from starflow_v.training.engine.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
def work():
    for _ in range(10):
        torch.ones(10_000_000) + 1
work()
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: bool) -> int:
    code = COUNT_FAULTS.format(keep=keep)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_the_same_pages_serve_again():
    if not keep_freed_memory():
        pytest.skip("this C library has no mallopt")
    assert page_faults(keep=True) < page_faults(keep=False) / 2
