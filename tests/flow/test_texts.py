"""Texts that change along the way: every frame is made under the text of its own time."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    DensityGuidance,
    SequentialSolver,
    SlidingSolver,
    Solver,
    StarFlowModel,
)
from starflow_v.flow.texts import Part, Reader, Script, Texts
from starflow_v.flow.window import Window

FRAMES = 7


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


Z = draw(2, FRAMES, 2, 2, 2)
TEXTS = [Texts(draw(2, 3, 6, seed=seed), draw(2, 3, 6, seed=9)) for seed in (1, 2, 3)]
AGAIN = [Texts(draw(2, 3, 6, seed=seed), draw(2, 3, 6, seed=8)) for seed in (4, 5, 6)]


@pytest.fixture(scope="module")
def flow(make_flow: Any) -> StarFlowModel:
    """Without shallow blocks, so that u is x and can be a prefix."""
    return make_flow(shallow_layers=())


def solve(
    flow: StarFlowModel,
    z: Tensor,
    texts: Texts,
    *,
    known: int,
    weight: float = 0,
    solver: Solver = SequentialSolver(),  # noqa: B008  (frozen)
    **more: Any,
) -> Tensor:
    """u of all frames, the first `known` of which are taken from z."""
    frames = flow.solve_deep(
        z[:, known:].split(1, dim=1),
        texts.text,
        frames=z.shape[1],
        solver=solver,
        null_text=texts.null_text,
        guidance=DensityGuidance(weight),
        prefix=z[:, :known] if known else None,
        **more,
    )
    return torch.cat([z[:, :known], *(u for u, _ in frames)], dim=1)


@pytest.mark.parametrize("solver", [SequentialSolver(), SlidingSolver(None, 1e-13)], ids=repr)
@pytest.mark.parametrize("window", [None, ContextWindow(3, 2), ContextWindow(4, 0)])
@pytest.mark.parametrize("starts", [(0, 1), (0, 2, 5), (0, 4), (0, 3, 6)])
@pytest.mark.parametrize(("known", "weight"), [(0, 0.0), (2, 0.0), (0, 1.5)])
def test_each_frame_is_made_under_its_text_after_all_that_the_block_holds(
    flow: StarFlowModel,
    known: int,
    weight: float,
    starts: tuple[int, ...],
    window: Window | None,
    solver: Solver,
) -> None:
    """Frame by frame: what the window holds is a prefix, under the text of the frame."""
    parts = [
        Part(start=start, texts=TEXTS[index] if index else None, again=AGAIN[index])
        for index, start in enumerate(starts)
    ]
    expected = Z[:, :known]
    begin, carried = 0, 0
    for frame in range(FRAMES):
        if window is not None and carried + frame - begin == window.frames:
            begin, carried = frame, window.overlap
        if frame < known:
            continue
        part = sum(start <= frame for start in starts) - 1
        texts = AGAIN[part] if begin else TEXTS[part]
        held = torch.cat((expected[:, begin - carried : frame], Z[:, frame : frame + 1]), dim=1)
        made = solve(flow, held, texts, known=held.shape[1] - 1, weight=weight)[:, -1:]
        expected = torch.cat((expected, made), dim=1)
    script = Script(tuple(parts))
    more: dict[str, Any] = {"weight": weight, "window": window, "restart": script}
    u = solve(flow, Z, TEXTS[0], known=known, solver=solver, **more)
    assert_close(u, expected)


def test_a_change_costs_one_evaluation_of_what_the_block_holds(flow: StarFlowModel) -> None:
    script = Script((Part(start=0, texts=None), Part(start=4, texts=TEXTS[1])))

    def costs(**more: Any) -> list[int]:
        frames = flow.solve_deep(
            Z.split(1, dim=1), TEXTS[0].text, frames=FRAMES, solver=SequentialSolver(), **more
        )
        return [cost.tokens for _, cost in frames]

    assert costs() == [4] * 7
    assert costs(restart=script) == [4, 4, 4, 4, 4 + 4 * 4, 4, 4]


def test_a_text_that_stays_is_not_read_twice() -> None:
    script = Script((Part(start=0, texts=None), Part(start=2, texts=TEXTS[1])))
    reader = Reader(script, None, batch=2, width=6)
    news = [reader.news(frame, restarted=frame > 3) for frame in range(6)]
    assert [text is not None for text in news] == [False, False, True, False, False, False]
    assert Reader(None, None, batch=2, width=6).news(0, restarted=True) is None


def test_texts_that_do_not_fit_are_refused() -> None:
    reader = Reader(Texts(draw(2, 3, 5)), None, batch=2, width=6)
    with pytest.raises(ValueError, match="does not fit this model"):
        reader.news(0, restarted=True)


@pytest.mark.parametrize("starts", [(), (1,), (0, 0), (0, 3, 2)])
def test_parts_come_in_order(starts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="in order"):
        Script(tuple(Part(start=start, texts=None) for start in starts))
