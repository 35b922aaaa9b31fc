"""Frames one after the other: solvers agree, and the sliding one goes on from frame to frame."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import JacobiSolver, SequentialSolver, SlidingSolver
from starflow_v.flow.passages import Passages
from starflow_v.flow.solver import Solver, solve_frames_at
from tests.flow.test_solver_sliding import (
    EXACT,
    LAWS,
    TOLERANCE,
    Block,
    noise,
    solved_by_hand,
    weak,
)

FRAMES, TOKENS = 3, 8
SOLVERS = [
    SequentialSolver(),
    JacobiSolver(4, tolerance=0),
    SlidingSolver(None, 1e-14),
    SlidingSolver(3, 1e-14),
    SlidingSolver(100, 1e-14),
]


class Frames(Block):
    """A block that remembers no parameters, so that frames are guessed as the solver likes."""

    def recall(self, count: int) -> None:
        return None


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("guess", [None, noise(TOKENS, seed=1)], ids=str)
def test_all_frames_are_the_sequential_answer(law, solver: Solver, guess: Tensor | None) -> None:
    z = noise(FRAMES * TOKENS)
    z[:, 0] *= 1e-3
    block = Frames(law)
    solved = list(solver.solve_frames(block, z.split(TOKENS, dim=1), guess=guess))
    assert [tokens.shape[1] for tokens, _ in solved] == [TOKENS] * FRAMES
    x = torch.cat([tokens for tokens, _ in solved], dim=1)
    assert_close(x, solved_by_hand(law, z), **EXACT)
    assert_close(block.committed, x)
    assert sum(cost.evaluations for _, cost in solved) == len(block.proposed)
    assert sum(cost.tokens for _, cost in solved) == sum(block.proposed)
    assert all(cost.evaluations <= TOKENS for _, cost in solved if solver != SOLVERS[1])


def test_every_token_of_every_frame_keeps_the_promise() -> None:
    """Each in units of its own frame: those that follow are far smaller here."""
    z = noise(FRAMES * TOKENS).unflatten(1, (FRAMES, TOKENS))
    z = (z * 10.0 ** -torch.arange(FRAMES)[:, None, None]).flatten(1, 2)
    block = Frames(weak)
    solved = list(SlidingSolver(5, TOLERANCE).solve_frames(block, z.split(TOKENS, dim=1)))
    x = torch.cat([tokens for tokens, _ in solved], dim=1)
    for j in range(z.shape[1]):
        assert torch.equal(block.seen[j], x[:, :j]), "parameters of other tokens than committed"
        frame = solved[j // TOKENS][0].flatten(1).std(1, correction=0)
        error = (x[:, j] - weak(x[:, :j]) - z[:, j]).abs().amax(-1)
        assert (error <= TOLERANCE * frame * (1 + 1e-9)).all()
    assert all(cost.residual <= TOLERANCE and cost.converged for _, cost in solved)


def test_the_window_goes_on_into_the_next_frame() -> None:
    """It used to shrink towards the end of each frame, and to begin anew behind it."""
    frames = noise(10 * TOKENS).split(TOKENS, dim=1)
    together, apart = Frames(weak), Frames(weak)
    list(SlidingSolver(None, 1e-9).solve_frames(together, frames))
    guess = None
    for z in frames:
        guess, _ = SlidingSolver(None, 1e-9).solve(apart, z, guess=guess)
    assert together.proposed[4:-TOKENS].count(TOKENS) > 0.9 * len(together.proposed[4:-TOKENS])
    assert len(together.proposed) < len(apart.proposed)


def test_a_token_is_first_guessed_from_the_parameters_of_a_frame_before() -> None:
    """With parameters that are the same in all frames, only the first one takes work."""
    block = Frames(lambda before: 0.0 * before.sum(1) + before.shape[1] % TOKENS)
    frames = noise(FRAMES * TOKENS).split(TOKENS, dim=1)
    first, *others = (
        cost.evaluations for _, cost in SlidingSolver(None, 1e-9).solve_frames(block, frames)
    )
    assert first > 1
    assert sum(others) <= len(others)


def test_no_more_than_one_frame_is_taken_ahead() -> None:
    taken = 0

    def frames() -> Iterator[Tensor]:
        nonlocal taken
        for z in noise(FRAMES * TOKENS).split(TOKENS, dim=1):
            taken += 1
            yield z

    for made, _ in enumerate(SlidingSolver().solve_frames(Frames(weak), frames()), start=1):
        assert taken <= made + 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_frame_that_stands_is_handed_out_before_trouble_in_the_next(value: float) -> None:
    """A sweep may end one frame and meet NaN in the next."""
    z = noise(FRAMES * TOKENS)
    z[1, TOKENS] = value
    places = (f"frame {number}" for number in range(FRAMES))
    solving = solve_frames_at(places, SlidingSolver(), Frames(weak), z.split(TOKENS, dim=1))
    tokens, _ = next(solving)
    assert_close(tokens, solved_by_hand(weak, z[:, :TOKENS]), atol=1e-2, rtol=0)
    with pytest.raises(FloatingPointError, match="frame 1: tokens became NaN"):
        next(solving)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_trouble_of_a_sample_that_is_ahead_waits_for_the_others(value: float) -> None:
    """A sample at the end of its frame met NaN in the next one, and the others lost theirs."""
    z, guess = noise(FRAMES * TOKENS), noise(TOKENS, seed=1)
    z[1, TOKENS] = value
    guess[1] = solved_by_hand(weak, z[:, :TOKENS])[1]
    places = (f"frame {number}" for number in range(FRAMES))
    solver, frames = SlidingSolver(None, 1e-9), z.split(TOKENS, dim=1)
    solving = solve_frames_at(places, solver, Frames(weak), frames, guess=guess)
    tokens, _ = next(solving)
    assert_close(tokens, solved_by_hand(weak, z[:, :TOKENS]), atol=1e-6, rtol=0)
    with pytest.raises(FloatingPointError, match="frame 1: tokens became NaN"):
        next(solving)


@pytest.mark.parametrize("place", [4, TOKENS, TOKENS + 3])
def test_a_cap_on_sweeps_commits_no_nan(place: int) -> None:
    z = noise(FRAMES * TOKENS)
    z[1, place] = math.nan
    guess = solved_by_hand(weak, z[:, :TOKENS]).nan_to_num()
    solver = SlidingSolver(None, 1e-9, max_sweeps=1)
    handed = []
    with pytest.raises(FloatingPointError, match="NaN"):
        for tokens, _ in solver.solve_frames(Frames(weak), z.split(TOKENS, dim=1), guess=guess):
            handed.append(tokens)
    assert len(handed) == place // TOKENS
    assert all(tokens.isfinite().all() for tokens in handed)


@pytest.mark.parametrize("cap", [1, 2, 4])
def test_what_a_cap_leaves_is_told_of_the_frame_it_is_in(cap: int) -> None:
    """Tokens of the next frame were booked to the one that was just ending."""
    z = noise(FRAMES * TOKENS)
    solver = SlidingSolver(None, 1e-9, max_sweeps=cap)
    solved = list(solver.solve_frames(Frames(weak), z.split(TOKENS, dim=1), guess=noise(TOKENS)))
    x = torch.cat([tokens for tokens, _ in solved], dim=1)
    for number, (tokens, cost) in enumerate(solved):
        left = torch.stack(
            [
                (x[:, j] - weak(x[:, :j]) - z[:, j]).abs().amax(-1)
                for j in range(number * TOKENS, (number + 1) * TOKENS)
            ]
        ).amax(0)
        left = float((left / tokens.flatten(1).std(1, correction=0)).max())
        assert left <= cost.residual * (1 + 1e-9)
        assert cost.converged == (cost.residual <= 1e-9)


def test_frames_that_are_handed_out_are_not_touched_again() -> None:
    """They were views of what the solver goes on with, and kept all of it alive."""
    frames = noise(FRAMES * TOKENS).split(TOKENS, dim=1)
    for tokens, _ in SlidingSolver().solve_frames(Frames(weak), frames):
        assert tokens.untyped_storage().nbytes() == tokens.numel() * tokens.element_size()


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_no_frames_are_none(solver: Solver) -> None:
    assert list(solver.solve_frames(Frames(weak), [])) == []


class Telling:
    """News before some frames; `asked` holds all that was asked."""

    def __init__(self, *frames: int) -> None:
        self.frames, self.asked = frames, []

    def news(self, frame: int, *, restarted: bool) -> Tensor | None:
        self.asked.append((frame, restarted))
        return torch.tensor(frame) if frame in self.frames else None


def test_passages_end_where_there_is_no_room_and_before_news() -> None:
    reader = Telling(2, 5)
    frames = [torch.tensor(number) for number in range(8)]
    coming = Passages(frames, first=0, reader=reader)
    seen = []
    while coming.more:
        text = coming.text(restarted=False)
        passage = [int(z) for z in coming.passage(3, restarted=False)]
        seen.append((text if text is None else int(text), passage))
    assert seen == [(None, [0, 1]), (2, [2, 3, 4]), (5, [5, 6, 7])]
    assert [frame for frame, _ in reader.asked] == list(range(8)), "each frame is asked for once"


def test_what_follows_a_full_passage_is_asked_for_after_the_restart() -> None:
    """Whether the block restarts changes what is told, so nobody may ask before."""
    reader = Telling()
    coming = Passages([torch.zeros(1)] * 4, first=3, reader=reader)
    coming.text(restarted=False)
    assert len(list(coming.passage(2, restarted=False))) == 2
    coming.text(restarted=True)
    assert len(list(coming.passage(None, restarted=True))) == 2
    assert reader.asked == [(3, False), (4, False), (5, True), (6, True)]
    assert not coming.more


@pytest.mark.parametrize("trouble", [OSError("the disk is gone"), ValueError("a wrong text")])
def test_trouble_with_what_comes_does_not_cost_the_frame_before(trouble: Exception) -> None:
    """The solver takes a frame ahead, so it met trouble before its own frame stood."""

    def frames() -> Iterator[Tensor]:
        yield from noise(2 * TOKENS).split(TOKENS, dim=1)
        raise trouble

    coming = Passages(frames(), first=0, reader=None)
    passage = coming.passage(None, restarted=False)
    assert len(list(SlidingSolver().solve_frames(Frames(weak), passage))) == 2
    with pytest.raises(type(trouble), match=str(trouble)):
        assert coming.more
