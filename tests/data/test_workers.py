"""Reading in other processes: results in order, whatever hangs, dies or leaks there."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from starflow_v.data import workers
from starflow_v.data.workers import Failure, WorkerPool


def act(item: object) -> object:
    """What a worker is told to do."""
    if item == "hang":
        time.sleep(600)
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "process":
        return os.getpid()
    if item == "scratch":
        _, name = tempfile.mkstemp()
        return name
    if isinstance(item, Exception):
        raise item
    return item


@pytest.mark.parametrize("count", [0, 2])
def test_results_come_in_order_and_errors_are_reasons(count: int) -> None:
    items = [0, ValueError("a.mp4: too  short"), 2, KeyError("x"), *range(4, 20)]
    with WorkerPool(act, workers=count) as pool:
        results = list(pool.map(items))
    assert results[1] == Failure("a.mp4: too short")
    assert results[3] == Failure("KeyError: 'x'")
    assert [it for it in results if not isinstance(it, Failure)] == [0, 2, *range(4, 20)]


def test_what_hangs_or_dies_costs_one_item() -> None:
    with WorkerPool(act, workers=2, timeout=3) as pool:
        results = list(pool.map(["hang", 1, "die", 3, 4]))
    assert results[0] == Failure("took longer than 3 s to read")
    assert results[2] == Failure("its reader died (exit code -9)")
    assert (results[1], *results[3:]) == (1, 3, 4)


def test_a_slow_consumer_is_no_timeout() -> None:
    with WorkerPool(act, workers=1, timeout=0.5) as pool:
        results = pool.map(range(3))
        first = next(results)
        time.sleep(1)
        assert [first, *results] == [0, 1, 2]


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ITEMS_OF_A_PROCESS", 2)
    with WorkerPool(act, workers=1) as pool:
        processes = list(pool.map(["process"] * 4))
        (name,) = pool.map(["scratch"])
        assert isinstance(name, str) and Path(name).exists()
        unfinished = pool.map([1, "hang", 3])
        assert next(unfinished) == 1
    assert len(set(processes)) == 2  # a new one after two items
    assert not Path(name).exists()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)  # type: ignore[arg-type]


def test_a_pool_can_be_entered_again() -> None:
    pool: WorkerPool[int, int] = WorkerPool(act, workers=1)
    for _ in range(2):
        with pool:
            assert list(pool.map([1, 2])) == [1, 2]
