from collections import deque

import pytest
import torch
from torch import Tensor

from starflow_v.nn.cache import RingCache, SequenceCache


def slots(*numbers: int) -> Tensor:
    """Keys (1, 1, k, 2) that bear their slot's number."""
    return torch.tensor(numbers, dtype=torch.float64)[None, None, :, None].expand(1, 1, -1, 2)


def numbers(keys: Tensor) -> list[int]:
    return [int(number) for number in keys[0, 0, :, 0]]


def test_a_draft_is_overwritten_and_a_commit_keeps_it() -> None:
    cache = SequenceCache(layers=2, capacity=5)
    layer = cache.layer(1)
    assert numbers(layer.extend(slots(1, 2), -slots(1, 2))[0]) == [1, 2]
    keys, values = layer.extend(slots(3, 4, 5), -slots(3, 4, 5))
    assert (numbers(keys), numbers(values)) == ([3, 4, 5], [-3, -4, -5])
    cache.commit(2)
    keys, values = layer.extend(slots(6), -slots(6))
    assert (numbers(keys), numbers(values)) == ([3, 4, 6], [-3, -4, -6])


def test_layers_do_not_meet() -> None:
    cache = SequenceCache(layers=2, capacity=2)
    first, second = cache.layer(0), cache.layer(1)
    first.extend(slots(1), slots(1))
    second.extend(slots(2), slots(2))
    cache.commit(1)
    assert numbers(first.extend(slots(3), slots(3))[0]) == [1, 3]
    assert numbers(second.extend(slots(4), slots(4))[0]) == [2, 4]


def test_truncated_it_begins_again_behind_what_is_left() -> None:
    cache = SequenceCache(layers=1, capacity=3)
    layer = cache.layer(0)
    layer.extend(slots(1, 2, 3), slots(1, 2, 3))
    cache.commit(3)
    cache.truncate(1)
    assert numbers(layer.extend(slots(7), slots(7))[0]) == [1, 7]


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("past", [1, 2, 3])
@pytest.mark.parametrize("head", [0, 2])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_ring_holds_the_head_the_window_and_the_draft(
    head: int, past: int, ahead: int, frames: int
) -> None:
    """Frame q sees frames q+1-past .. q+ahead, in any order; the last one has nothing ahead."""
    tokens = 2
    ring = RingCache(head=head, tokens=tokens, past=past, ahead=ahead)
    text = list(range(-head, 0))
    window = deque[int](maxlen=past)
    for frame in range(frames):
        window.append(frame)
        drafts = [f for f in range(frame, frame + 1 + ahead) if f < frames]
        new = [tokens * f + i for f in drafts for i in range(tokens)]
        keys, values = ring.extend(
            slots(*(text if frame == 0 else []), *new),
            -slots(*(text if frame == 0 else []), *new),
        )
        ring.commit_frame()
        seen = sorted({*window, *drafts})
        assert sorted(numbers(keys)) == text + [tokens * f + i for f in seen for i in range(tokens)]
        assert torch.equal(values, -keys)
