"""Stages on a stream of frames: chunks of a long video, laziness, costs."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import ContextWindow, Cost, SequentialSolver
from starflow_v.flow.texts import Texts
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.sampling.stages import DeepStage, DenoiseStage, ShallowStage, gather, one_by_one


class Marker:
    """Stands for a denoiser: a cleaned frame tells its number, and the first and last one seen."""

    def __init__(self, lookahead: int) -> None:
        self.lookahead = lookahead
        self.chunks: list[int] = []

    def denoise_frames(self, frames: Iterator[Tensor], text: Tensor | None) -> Iterator[Tensor]:
        seen: list[Tensor] = []
        done = 0
        for frame in frames:
            seen.append(frame)
            if len(seen) > self.lookahead:
                yield torch.stack((seen[0], seen[done], frame))
                done += 1
        self.chunks.append(len(seen))
        for frame in seen[done:]:
            yield torch.stack((seen[0], frame, seen[-1]))


def numbered(count: int) -> list[Tensor]:
    return [torch.full((1, 1, 1, 1, 1), float(index)) for index in range(count)]


def run(denoiser: Marker, count: int, window: ContextWindow | None) -> list[list[float]]:
    stage = DenoiseStage(denoiser, None, window)
    return [triple.flatten().tolist() for triple in stage(iter(numbered(count)))]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 7, 12, 13, 23, 60])
@pytest.mark.parametrize(
    ("lookahead", "frames"), [(0, 5), (1, 5), (2, 5), (4, 5), (1, 2), (8, 5), (8, 21), (99, 21)]
)
def test_every_frame_is_cleaned_once_and_sees_past_and_future(count, lookahead, frames):
    """A look-ahead as long as the window once left every chunk without a past."""
    denoiser = Marker(lookahead)
    cleaned = run(denoiser, count, ContextWindow(frames, frames - 1))
    ahead = min(lookahead, max(1, (frames - 1) // 2))
    for index, (oldest, frame, newest) in enumerate(cleaned):
        assert frame == index
        assert newest >= min(index + ahead, count - 1)
        assert index - oldest >= min(index, (frames - ahead) // 2)
    assert len(cleaned) == count
    assert max(denoiser.chunks) <= frames


def test_without_a_window_there_is_one_chunk():
    denoiser = Marker(1)
    run(denoiser, 30, None)
    assert denoiser.chunks == [30]


def test_the_denoise_stage_waits_for_its_lookahead_only():
    taken = []

    def source() -> Iterator[Tensor]:
        for frame in numbered(20):
            taken.append(1)
            yield frame

    stream = DenoiseStage(Marker(1), None, ContextWindow(8, 4))(source())
    for expected in range(2, 9):
        next(stream)
        assert len(taken) == expected


@pytest.mark.parametrize("window", [None, ContextWindow(5, 4)])
@pytest.mark.parametrize("lookahead", [0, 1, 8])
@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("count", [1, 3, 5, 12])
def test_a_failure_loses_no_frame_before_it(window, lookahead, known, count):
    """Frames that waited for their look-ahead were lost: 32 of a model that looks far ahead."""

    def failing() -> Iterator[Tensor]:
        yield from (frame + known for frame in numbered(count))
        raise FloatingPointError("the weights")

    prefix = torch.cat(numbered(known), dim=1) if known else None
    stage = DenoiseStage(Marker(lookahead), None, window, prefix=prefix)
    cleaned = []
    with pytest.raises(FloatingPointError, match="the weights"):
        for triple in stage(failing()):
            cleaned.append(float(triple[1]))
    assert cleaned == [known + index for index in range(count)]


@pytest.mark.parametrize("known", [1, 3, 7])
@pytest.mark.parametrize("window", [None, ContextWindow(5, 4)])
def test_known_frames_are_seen_and_not_handed_on(known, window):
    prefix = torch.cat(numbered(known), dim=1)
    stage = DenoiseStage(Marker(1), None, window, prefix=prefix)
    made = [frame + known for frame in numbered(6)]
    cleaned = [triple.flatten().tolist() for triple in stage(iter(made))]
    assert [frame for _, frame, _ in cleaned] == [known + index for index in range(6)]
    assert cleaned[0][0] < known
    assert list(stage(iter([]))) == []


def test_the_prefix_waits_for_the_first_frame():
    """Under model offload the denoiser once woke before the flow had made anything."""
    denoiser = Marker(0)
    stage = DenoiseStage(denoiser, None, prefix=numbered(1)[0])

    def nothing_yet() -> Iterator[Tensor]:
        raise LookupError
        yield

    with pytest.raises(LookupError):
        next(stage(nothing_yet()))


def test_later_chunks_are_told_something_else():
    told = []

    class Listening(Marker):
        def denoise_frames(self, frames: Iterator[Tensor], text: Tensor | None) -> Iterator[Tensor]:
            told.append(text)
            yield from super().denoise_frames(frames, text)

    first, later = torch.zeros(1), torch.ones(1)
    stage = DenoiseStage(Listening(1), first, ContextWindow(5, 4), later=Texts(later))
    assert len(list(stage(iter(numbered(9))))) == 9
    assert [text is first for text in told] == [True] + [False] * (len(told) - 1)
    assert len(told) > 1 and all(text is later for text in told[1:])


class Alternating:
    """Tells something else from each of these frames on."""

    def __init__(self, starts: tuple[int, ...]) -> None:
        self.starts = starts
        self.told = [Texts(torch.tensor([float(n)])) for n in range(len(starts) + 1)]

    def at(self, frame: int, *, restarted: bool) -> Texts | None:
        number = sum(start <= frame for start in self.starts)
        return self.told[number] if number else None


@pytest.mark.parametrize("starts", [(1,), (2, 3), (4,), (9,), (11,), (1, 6, 7, 10)])
@pytest.mark.parametrize("count", [12, 13])
@pytest.mark.parametrize(("lookahead", "frames"), [(0, 5), (1, 5), (2, 5), (99, 5), (1, 2), (1, 1)])
def test_every_frame_is_cleaned_once_under_the_text_of_its_time(lookahead, frames, count, starts):
    told: list[float] = []

    class Telling(Marker):
        def denoise_frames(self, frames: Iterator[Tensor], text: Tensor | None) -> Iterator[Tensor]:
            for cleaned in super().denoise_frames(frames, text):
                told.append(float(text))
                yield torch.cat((cleaned, text.view(1, 1, 1, 1, 1, 1)))

    later = Alternating(starts)
    stage = DenoiseStage(Telling(lookahead), torch.zeros(1), ContextWindow(frames, 0), later=later)
    cleaned = [frame.flatten().tolist() for frame in stage(iter(numbered(count)))]
    ahead = min(lookahead, max(1, (frames - 1) // 2), frames - 1)
    for index, (oldest, frame, newest, text) in enumerate(cleaned):
        assert frame == index
        assert text == sum(start <= index for start in starts)
        assert newest >= min(index + ahead, count - 1)
        assert index - oldest >= min(index, (frames - ahead) // 2)
    assert len(cleaned) == count


def test_gather_and_one_by_one_undo_each_other():
    frames = numbered(5)
    (whole,) = gather(iter(frames))
    assert whole.shape == (1, 5, 1, 1, 1)
    assert_close(list(one_by_one(iter([whole]))), frames)
    assert list(gather(iter([]))) == []
    pieces = list(gather(iter(frames), at_most=2))
    assert [piece.shape[1] for piece in pieces] == [2, 2, 1]
    assert_close(torch.cat(pieces, dim=1), whole)


def test_noise_depends_on_neither_batch_nor_length():
    def draw(seeds: list[int], frames: int) -> Tensor:
        children = seed_children([torch.Generator().manual_seed(s) for s in seeds], len(seeds))
        stream = noise_frames(children, (2, 3, 4), frames=frames, device=torch.device("cpu"))
        return torch.cat(list(stream), dim=1)

    both = draw([3, 4], 5)
    assert both.shape == (2, 5, 2, 3, 4)
    assert_close(draw([4], 2)[0], both[1, :2])
    assert abs(float(draw([0], 400).std()) - 1) < 0.05


def test_one_generator_serves_all_samples_in_order():
    def seeds(count: int) -> list[int]:
        parent = torch.Generator().manual_seed(7)
        return [child.initial_seed() for child in seed_children(parent, count)]

    assert seeds(3)[:2] == seeds(2)
    assert len(set(seeds(3))) == 3


class Breaking:
    """Stands for a flow whose third frame overflows in one of its halves."""

    def __init__(self, half: str) -> None:
        self.half = half

    def solve_deep(self, noise: Iterator[Tensor], *_: object, **__: object) -> Iterator:
        for number, frame in enumerate(noise):
            yield frame * (math.nan if self.half == "deep" and number == 2 else 1), Cost()

    def solve_shallow(self, u: Tensor, _: object) -> tuple[Tensor, Cost]:
        return u * (math.inf if self.half == "shallow" and (u == 2).any() else 1), Cost()


@pytest.mark.parametrize(
    ("half", "place"),
    [("deep", "latent frame 2 in the deep block"), ("shallow", "the shallow blocks")],
)
def test_what_is_no_number_goes_no_further(half: str, place: str) -> None:
    """Black videos came out of models that overflow in half precision, without a word: the exact
    solver does not look."""
    flow, solver = Breaking(half), SequentialSolver()
    deep = DeepStage(flow, None, 5, solver)
    frames = ShallowStage(flow, solver)(deep(iter(numbered(5))))
    assert [float(next(frames)) for _ in range(2)] == [0, 1]
    with pytest.raises(FloatingPointError, match=f"{place}: tokens became NaN or infinite"):
        next(frames)
