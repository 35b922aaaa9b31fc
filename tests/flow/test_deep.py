"""The global half: which frames the deep block holds, and what holding them costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacrev
from torch.testing import assert_close

from starflow_v import ContextWindow, SequentialSolver, StarFlowModel
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver import Cost, FrameByFrame
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import Window


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def flow(make_flow: Any) -> StarFlowModel:
    return make_flow(deep_groups=1, shallow_layers=(), text_dim=None)


def solve(
    flow: StarFlowModel, z: Tensor, *, prefix: Tensor | None = None, window: Window | None = None
) -> tuple[Tensor, list[Cost]]:
    """(B, T, c, h, w) noise -> the frames of u after the prefix, and what each cost."""
    known = 0 if prefix is None else prefix.shape[1]
    pairs = list(
        flow.solve_deep(
            z[:, known:].split(1, dim=1),
            None,
            frames=z.shape[1],
            solver=SequentialSolver(),
            prefix=prefix,
            window=window,
        )
    )
    return torch.cat([u for u, _ in pairs], dim=1), [cost for _, cost in pairs]


def test_the_log_det_of_a_token_is_its_own(case: SimpleNamespace) -> None:
    """As for the shallow blocks: raster order also where the block runs backwards."""
    grid = case.flow.grid(case.x)
    u = case.flow.to_tokens(case.x)[:1, :2]
    text = None if case.text is None else case.text[:1]
    jacobian = jacrev(lambda u: case.flow.deep(u, text, grid)[0])(u)[0, :, :, :, 0]
    own = torch.stack([jacobian[t, n, :, t, n] for t in range(2) for n in range(grid.tokens)])
    log_det = case.flow.deep(u, text, grid)[1]
    assert_close(log_det.flatten(), torch.linalg.slogdet(own).logabsdet)


def test_a_restart_costs_one_evaluation_of_what_is_carried(flow: StarFlowModel) -> None:
    _, costs = solve(flow, draw(2, 7, 2, 2, 2), window=ContextWindow(3, 2))
    plain, restart = Cost(evaluations=1, tokens=4), Cost(evaluations=2, tokens=4 + 2 * 4)
    assert costs == [plain] * 3 + [restart] * 4


def test_a_prefix_costs_one_evaluation(flow: StarFlowModel) -> None:
    z = draw(2, 4, 2, 2, 2)
    _, costs = solve(flow, z, prefix=z[:, :2])
    assert costs == [Cost(evaluations=2, tokens=3 * 4), Cost(evaluations=1, tokens=4)]


@pytest.mark.parametrize(("known", "held"), [(2, 2), (3, 1), (4, 2), (5, 1), (6, 2)])
def test_of_a_long_prefix_only_what_the_window_holds_is_committed(
    flow: StarFlowModel, known: int, held: int
) -> None:
    z = draw(2, known + 1, 2, 2, 2)
    _, costs = solve(flow, z, prefix=z[:, :known], window=ContextWindow(3, 1))
    assert costs == [Cost(evaluations=2, tokens=4 * (held + 1))]


def test_noise_that_ends_ends_the_video(flow: StarFlowModel) -> None:
    assert list(flow.solve_deep([], None, frames=3, solver=SequentialSolver())) == []


@dataclass(frozen=True)
class SourceFirst:
    """A window that hands over a frame of its own, then the last frame: as for editing."""

    source: Tensor
    frames: int = 4
    overlap: int = 1

    def carry(self, history: Sequence[Tensor]) -> list[Tensor]:
        return [self.source, history[-1]]


def test_a_window_of_your_own_says_what_comes_first(flow: StarFlowModel) -> None:
    z, source = draw(2, 6, 2, 2, 2), draw(2, 1, 2, 2, 2)
    window = SourceFirst(flow.to_tokens(source)[:, 0])
    u, _ = solve(flow, z, window=window)
    head, _ = solve(flow, z[:, :4])
    prefix = torch.cat((source, head[:, -1:]), dim=1)
    tail, _ = solve(flow, torch.cat((prefix, z[:, 4:]), dim=1), prefix=prefix)
    assert_close(u, torch.cat((head, tail), dim=1))


@dataclass(frozen=True)
class SourceChunk:
    """Carries `chunk` frames of its own and the last `overlap` ones, as video to video does."""

    source: Tensor
    frames: int
    overlap: int
    chunk: int

    def carry(self, history: Sequence[Tensor]) -> list[Tensor]:
        return [self.source] * self.chunk + list(history)


@pytest.mark.parametrize(("overlap", "chunk"), [(1, 2), (2, 1), (0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("known", [3, 4, 5, 6, 9])
def test_a_prefix_keeps_step_with_a_window_that_carries_more_than_its_overlap(
    flow: StarFlowModel, known: int, overlap: int, chunk: int
) -> None:
    """Restarts were reckoned as if `overlap` frames were carried, whatever the window gave."""
    z, source = draw(2, 11, 2, 2, 2), draw(2, 1, 2, 2, 2)
    window = SourceChunk(flow.to_tokens(source)[:, 0], frames=4, overlap=overlap, chunk=chunk)
    unbroken, _ = solve(flow, z, window=window)
    u, _ = solve(flow, z, prefix=unbroken[:, :known], window=window)
    assert_close(u, unbroken[:, known:])


@pytest.mark.parametrize("known", [0, 5])
@pytest.mark.parametrize("chunk", [3, 5])
def test_a_window_that_carries_itself_full_is_refused(
    flow: StarFlowModel, chunk: int, known: int
) -> None:
    z, source = draw(2, 6, 2, 2, 2), draw(2, 4, 2, 2)
    window = SourceChunk(source, frames=4, overlap=1, chunk=chunk)
    with pytest.raises(ValueError, match=rf"carries {chunk + 1} frames .* holds 4.*at most 3"):
        solve(flow, z, prefix=z[:, :known] if known else None, window=window)


def test_room_is_made_for_the_frames_there_are(flow: StarFlowModel) -> None:
    """A window of 1000 frames made room for 1000, also for a video of three."""
    capacities = []
    make = flow.deep.predictor

    class Spy:
        def __call__(self, *args: Any, frames: int, **kwargs: Any) -> Predictor:
            capacities.append(frames)
            return make(*args, frames=frames, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow.deep, "predictor", Spy())
        for window in (None, ContextWindow(1000, 10), ContextWindow(2, 1)):
            solve(flow, draw(2, 3, 2, 2, 2), window=window)
    assert capacities == [3, 3, 2]


class Listening(FrameByFrame):
    """A solver that writes down the first guesses it is given."""

    def __init__(self) -> None:
        self.guesses: list[Tensor | None] = []

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        self.guesses.append(guess)
        return SequentialSolver().solve(predictor, noise)


@pytest.mark.parametrize("window", [None, ContextWindow(2, 0), ContextWindow(2, 1)])
@pytest.mark.parametrize("known", [0, 2])
def test_the_first_guess_of_a_frame_is_the_frame_before(
    flow: StarFlowModel, known: int, window: ContextWindow | None
) -> None:
    z, solver = draw(2, 5, 2, 2, 2), Listening()
    prefix = z[:, :known] if known else None
    u = [
        frame
        for frame, _ in flow.solve_deep(
            z[:, known:].split(1, dim=1),
            None,
            frames=5,
            solver=solver,
            prefix=prefix,
            window=window,
        )
    ]
    before = [prefix[:, -1:] if prefix is not None else None, *u[:-1]]
    assert len(solver.guesses) == 5 - known
    for guess, frame in zip(solver.guesses, before, strict=True):
        if frame is None:
            assert guess is None
        else:
            assert guess is not None
            tokens = flow.to_tokens(frame)[:, 0]
            assert torch.equal(guess, flow.deep.order.to_slots(tokens, flow.grid(z)))


@pytest.mark.parametrize("known", [0, 2, 3, 5])
def test_from_the_first_restart_on_another_text_is_read(make_flow: Any, known: int) -> None:
    """A window of three that carries one: frames 3, 4 and 5, 6 each follow a restart.

    The restarts within a long prefix count too.
    """
    flow = make_flow(deep_groups=1, shallow_layers=())
    z, text, again = draw(2, 7, 2, 2, 2), draw(2, 3, 6), 2 * draw(2, 3, 6)

    def run(z: Tensor, text: Tensor, known: int, **more: Any) -> Tensor:
        solver, prefix = SequentialSolver(), z[:, :known] if known else None
        noise = z[:, known:].split(1, dim=1)
        frames = flow.solve_deep(
            noise, text, frames=z.shape[1], solver=solver, prefix=prefix, **more
        )
        return torch.cat([*([] if prefix is None else [prefix]), *(u for u, _ in frames)], dim=1)

    u = run(z, text, known, window=ContextWindow(3, 1), restart=Texts(again))
    expected = run(z[:, :3], text, min(known, 3)) if known < 3 else z[:, :3]
    for start in (2, 4):  # a chunk begins with the frame that is carried
        joined = torch.cat((expected[:, -1:], z[:, start + 1 : start + 3]), dim=1)
        held = min(max(known - start, 1), 3)
        chunk = joined if held == 3 else run(joined, again, held)
        expected = torch.cat((expected, chunk[:, 1:]), dim=1)
    assert_close(u, expected)
