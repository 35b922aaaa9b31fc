"""Stages side by side: the same frames, really at the same time, and nothing is left behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from starflow_v.flow.affine import AffineParams
from starflow_v.flow.solver import SequentialSolver
from starflow_v.sampling.abandoning import WANTED, AbandonableSolver, AbandonedError
from starflow_v.sampling.overlap import Ahead, InSeries, SideBySide, close, usual_stages

CPU = torch.device("cpu")
LONG = 20.0
"""Seconds after which a test gives up waiting for what should be there at once."""


def numbered(count: int) -> Iterator[Tensor]:
    for index in range(count):
        yield torch.full((1, 1, 1, 1, 1), float(index))


def stage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "starflow_v stage"]


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LONG
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not stage_threads()


@pytest.mark.parametrize("room", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_same_frames_in_the_same_order(count: int, room: int) -> None:
    side_by_side = SideBySide(room=room)
    twice = side_by_side(side_by_side(numbered(count), CPU), CPU)
    assert [int(frame) for frame in twice] == list(range(count))
    assert list(twice) == []


def test_a_stage_is_at_the_next_frame_while_another_is_at_the_last_one() -> None:
    """Each stage waits in its frame t for the one before to have begun frame t + 1."""
    began = [threading.Event() for _ in range(4)]

    def first() -> Iterator[Tensor]:
        for index, frame in enumerate(numbered(4)):
            began[index].set()
            yield frame

    def second(frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for index, frame in enumerate(frames):
            if index < 3:
                assert began[index + 1].wait(LONG)
            yield frame

    stages = SideBySide()
    assert len(list(stages(second(stages(first(), CPU)), CPU))) == 4


@pytest.mark.parametrize("room", [1, 2])
def test_a_stage_runs_ahead_as_far_as_there_is_room(room: int) -> None:
    made: list[int] = []

    def source() -> Iterator[Tensor]:
        for index, frame in enumerate(numbered(20)):
            made.append(index)
            yield frame

    frames = SideBySide(room=room)(source(), CPU)
    assert not made and not stage_threads()  # nothing before the first frame is asked for
    next(frames)
    assert wait_until(lambda: len(made) == room + 2)
    next(frames)
    assert wait_until(lambda: len(made) == room + 3)
    close(frames)
    assert len(made) == room + 3


def test_an_error_reaches_the_caller_with_its_traceback() -> None:
    def breaks(frames: Iterator[Tensor]) -> Iterator[Tensor]:
        yield next(frames)
        raise LookupError("this stage broke")

    stages = SideBySide()
    before = stages(numbered(9), CPU)
    broken = stages(breaks(before), CPU)
    frames = stages(broken, CPU)
    next(frames)
    with pytest.raises(LookupError, match="this stage broke") as caught:
        next(frames)
    close(before, broken, frames)  # as a run does: the traceback still holds the first stage
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert "breaks" in names and names[0] == "test_an_error_reaches_the_caller_with_its_traceback"
    assert list(frames) == []


def test_ctrl_c_while_waiting_for_a_frame_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = SideBySide()(numbered(9), CPU)
    next(frames)

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(frames._belt, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(frames)
    assert not stage_threads()


@pytest.mark.parametrize("end", ["closed", "forgotten", "in a cycle"])
def test_an_abandoned_stream_leaves_nothing_behind(end: str) -> None:
    """Neither threads nor frames; sources are closed in their own threads."""
    closed_in: list[str] = []
    seen: list[weakref.ref[Tensor]] = []

    def source() -> Iterator[Tensor]:
        try:
            for frame in numbered(99):
                seen.append(weakref.ref(frame))
                yield frame
        finally:
            closed_in.append(threading.current_thread().name)

    stages = SideBySide(room=2)
    frames = stages(stages(source(), CPU), CPU)
    next(frames)
    assert len(stage_threads()) == 2
    if end == "closed":
        close(frames)
        assert next(frames, None) is None
    elif end == "in a cycle":
        cycle = [frames]
        cycle.append(cycle)  # type: ignore[arg-type]
        del cycle
    del frames
    gc.collect()
    assert not stage_threads()
    assert closed_in == ["starflow_v stage"]
    assert not any(reference() is not None for reference in seen)


def test_a_stream_may_be_collected_in_its_own_thread() -> None:
    """A thread cannot wait for itself; the garbage collector does not ask which one it runs in."""
    holder: list[Ahead] = []

    def source() -> Iterator[Tensor]:
        yield from numbered(1)
        assert wait_until(lambda: bool(holder))
        holder.clear()
        yield from numbered(9)

    frames = SideBySide()(source(), CPU)
    assert isinstance(frames, Ahead)
    next(frames)
    holder.append(frames)
    del frames
    assert wait_until(lambda: not stage_threads())


def test_a_row_of_stages_may_be_collected_in_one_of_their_threads() -> None:
    """That thread waited for the last stage, which waited for the one before, and so on back to it;
    the interpreter could not end either."""
    forgotten = threading.Event()

    def source() -> Iterator[Tensor]:
        yield from numbered(2)
        assert wait_until(forgotten.is_set)
        gc.collect()
        yield from numbered(9)

    stages = SideBySide()
    frames = stages(stages(stages(source(), CPU), CPU), CPU)
    next(frames)
    gc.disable()
    try:
        cycle = [frames]
        cycle.append(cycle)  # type: ignore[arg-type]
        del cycle, frames
        forgotten.set()
        assert wait_until(lambda: not stage_threads())
    finally:
        gc.enable()


@pytest.mark.parametrize("inference", [False, True])
def test_a_thread_works_under_the_modes_of_its_taker(inference: bool) -> None:
    seen: list[tuple[object, ...]] = []

    def modes() -> tuple[object, ...]:
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
            torch.get_num_threads(),
        )

    def source() -> Iterator[Tensor]:
        seen.append(modes())
        yield from numbered(1)

    entered = torch.inference_mode() if inference else torch.no_grad()
    with entered, torch.autocast("cpu", dtype=torch.float16):
        list(SideBySide()(source(), CPU))
        expected = modes()
    list(SideBySide()(source(), CPU))
    assert seen == [expected, modes()]
    assert expected[0] is False and seen[1][0] is True


class _Endless:
    """A predictor that is told when it is evaluated."""

    group = 1

    def __init__(self) -> None:
        self.evaluated = threading.Semaphore(0)

    def propose(self, guess: Tensor) -> AffineParams:
        self.evaluated.release()
        return AffineParams(torch.zeros_like(guess), torch.ones_like(guess))

    def commit(self, tokens: Tensor) -> None:
        """Nothing to keep."""

    def restart(self, text: Tensor | None = None) -> None:
        """Nothing to forget."""


def test_a_frame_that_nobody_wants_is_not_finished() -> None:
    """One of a large model takes minutes; Ctrl-C waited for it once."""
    predictor = _Endless()
    ended: list[type[BaseException]] = []

    def source() -> Iterator[Tensor]:
        yield from numbered(1)
        try:
            while True:
                AbandonableSolver(SequentialSolver()).solve(predictor, torch.zeros(1, 1, 1))
        except BaseException as error:
            ended.append(type(error))
            raise

    frames = SideBySide()(source(), CPU)
    next(frames)
    assert predictor.evaluated.acquire(timeout=LONG)
    close(frames)
    assert ended == [AbandonedError]
    assert WANTED.get() is None
    _, cost = AbandonableSolver(SequentialSolver()).solve(predictor, torch.zeros(1, 3, 1))
    assert cost.evaluations == 3


def test_the_interpreter_ends_with_a_stream_that_is_still_open() -> None:
    code = """
import torch
from starflow_v.sampling.overlap import SideBySide
frames = SideBySide()((torch.zeros(1) for _ in range(9)), torch.device("cpu"))
next(frames)
print("made")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stdout) == (0, "made\n")
    assert "Traceback" not in done.stderr  # libraries may chatter there


def test_without_hooks_stages_run_side_by_side() -> None:
    """Hooks of several processes would wait for each other for ever: each in another stage."""
    plain, placed, shared = (nn.Sequential(nn.Linear(1, 1)) for _ in range(3))
    placed[0]._hf_hook = object()
    handle = shared[0].register_forward_pre_hook(lambda module, args: None)
    assert usual_stages([plain], CPU) == SideBySide()
    assert usual_stages([plain, placed], CPU) == InSeries()
    assert usual_stages([plain, shared], CPU) == InSeries()
    assert usual_stages([plain], torch.device("meta")) == InSeries()
    handle.remove()
    assert usual_stages([shared], CPU) == SideBySide()


def test_in_series_is_the_iterator_itself() -> None:
    frames = numbered(3)
    assert InSeries()(frames, CPU) is frames


def test_without_room_nothing_could_move() -> None:
    with pytest.raises(ValueError, match="1 frame or more"):
        SideBySide(room=0)
