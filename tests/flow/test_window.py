import pytest
import torch

from starflow_v import ContextWindow

HISTORY = [torch.full((1, 2, 3), float(frame)) for frame in range(5)]


@pytest.mark.parametrize(("overlap", "expected"), [(0, []), (1, [4]), (3, [2, 3, 4])])
def test_it_carries_the_last_frames(overlap: int, expected: list[int]) -> None:
    carried = ContextWindow(6, overlap).carry(HISTORY)
    assert [int(frame[0, 0, 0]) for frame in carried] == expected


def test_it_carries_what_there_is_of_a_short_history() -> None:
    carried = ContextWindow(6, 4).carry(HISTORY[:3])
    assert [int(frame[0, 0, 0]) for frame in carried] == [0, 1, 2]
