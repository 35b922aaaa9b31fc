import threading

import pytest

from starflow_v.studio.line import Job, Line, State, explain

PATIENCE = 10


class Held(Job):
    """Works until it is let go or told to stop."""

    def __init__(self, done: list["Held"]) -> None:
        super().__init__()
        self.began, self.let_go, self._done = threading.Event(), threading.Event(), done

    def run(self) -> None:
        self.began.set()
        while not (self.stopping or self.let_go.wait(0.01)):
            pass
        self._done.append(self)


class Broken(Job):
    def run(self) -> None:
        raise RuntimeError("the fan fell off")


def wait(job: Job) -> None:
    over = threading.Event()
    job.when_over(over.set)
    assert over.wait(PATIENCE)


def test_jobs_are_done_one_at_a_time_in_the_order_they_came() -> None:
    line, done = Line(longest=3), []
    jobs = [Held(done) for _ in range(3)]
    for job in jobs:
        line.enter(job)
    assert jobs[0].began.wait(PATIENCE)
    assert [line.place(job) for job in jobs] == [0, 1, 2]
    assert not jobs[1].began.is_set()
    for job in jobs:
        job.let_go.set()
        wait(job)
    assert done == jobs
    assert [job.state for job in jobs] == [State.DONE] * 3


def test_one_that_waits_gives_up_its_place() -> None:
    line, done = Line(longest=3), []
    first, second, third = jobs = [Held(done) for _ in range(3)]
    for job in jobs:
        line.enter(job)
    assert first.began.wait(PATIENCE)
    line.leave(second)
    assert second.state is State.STOPPED and line.place(third) == 1
    line.leave(first)
    assert third.began.wait(PATIENCE)
    assert first.state is State.DONE, "it was told to stop, and kept what it had"
    line.close()
    assert done == [first, third]


def test_a_full_queue_and_a_closed_one_take_nobody() -> None:
    line, done = Line(longest=1), []
    first, second = Held(done), Held(done)
    line.enter(first)
    line.enter(second)
    with pytest.raises(ValueError, match="1 others are waiting"):
        line.enter(Held(done))
    line.close()
    assert second.state is State.STOPPED
    with pytest.raises(ValueError, match="being closed"):
        line.enter(Held(done))


def test_a_job_that_breaks_does_not_break_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(longest=1)
    broken = Broken()
    line.enter(broken)
    wait(broken)
    assert broken.state is State.FAILED
    assert broken.failure == "It failed (RuntimeError); the studio's terminal says more."
    assert "the fan fell off" in capsys.readouterr().err
    after = Held([])
    after.let_go.set()
    line.enter(after)
    wait(after)
    assert after.state is State.DONE


def test_what_is_done_afterwards_is_done_once_even_if_it_is_over() -> None:
    job, told = Broken(), []
    job.when_over(lambda: told.append("before"))
    job.end(State.STOPPED)
    job.when_over(lambda: told.append("after"))
    assert told == ["before", "after"]


def test_what_fails_afterwards_is_told_and_holds_nobody_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    job, told = Broken(), []

    def fail() -> None:
        raise OSError("the disk is gone")

    job.when_over(fail)
    job.when_over(lambda: told.append("after"))
    job.end(State.STOPPED)
    assert job.over and told == ["after"]
    assert "the disk is gone" in capsys.readouterr().err


def test_errors_of_use_are_told_to_the_visitor(capsys: pytest.CaptureFixture[str]) -> None:
    from starflow_v.flow.solver import JacobiSolver

    with pytest.raises(ValueError) as caught:
        JacobiSolver(block_size=0)
    assert "block_size=0" in explain(caught.value)
    assert capsys.readouterr().err == ""
