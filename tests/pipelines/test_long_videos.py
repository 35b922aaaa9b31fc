"""Long videos: memory that does not grow, wherever frames might be kept."""

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from starflow_v import InSeries, SideBySide, StarFlowVPipeline

PROMPT = {0: "a red circle moves right", 101: "a blue circle"}


def live_bytes() -> int:
    """Of all tensors that anybody holds."""
    gc.collect()
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if type(tensor) is Tensor
    }
    return sum(storages.values())


def test_a_stream_holds_as_much_at_its_end_as_at_its_beginning(pipe: StarFlowVPipeline) -> None:
    """To the byte; a prompt changes on the way, and a window moves on by two latent frames."""
    generator = torch.Generator().manual_seed(0)
    before = live_bytes()
    held = []
    stream = pipe.stream(PROMPT, num_frames=201, generator=generator, stages=InSeries())
    for index, _ in enumerate(stream):
        if 6 <= index < 14 or index >= 38:
            held.append(live_bytes() - before)
    assert len(held) == 8 + 13
    assert max(held[:8]) >= max(held[8:]) > 0


def test_threads_hold_a_few_frames_more(pipe: StarFlowVPipeline) -> None:
    generator = torch.Generator().manual_seed(0)
    before = live_bytes()
    held = []
    options = {"num_frames": 161, "generator": generator, "output_type": "latent"}
    for index, _ in enumerate(pipe.stream(PROMPT, stages=SideBySide(), **options)):
        if index % 5 == 4:
            held.append(live_bytes() - before)
    assert max(held[6:]) <= 1.5 * max(held[:2])


@pytest.mark.parametrize(("num_frames", "pieces"), [(13, [4]), (37, [4, 4, 2])])
def test_a_call_solves_the_shallow_blocks_of_one_window_at_a_time(
    pipe: StarFlowVPipeline, monkeypatch: pytest.MonkeyPatch, num_frames: int, pieces: list[int]
) -> None:
    """All at once, their keys and values once grew with the video."""
    seen: list[int] = []
    solve = type(pipe.flow).solve_shallow

    def spy(self: Any, u: Tensor, *more: Any) -> Any:
        seen.append(u.shape[1])
        return solve(self, u, *more)

    monkeypatch.setattr(type(pipe.flow), "solve_shallow", spy)
    pipe(PROMPT[0], num_frames=num_frames, generator=torch.Generator().manual_seed(0))
    assert seen == pieces
