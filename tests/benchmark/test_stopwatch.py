from collections.abc import Iterator

import torch
from torch import Tensor

from starflow_v.benchmark.stopwatch import Stopwatch


class Hand:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def frames(hand: Hand, seconds: float, source: Iterator[Tensor] | None = None) -> Iterator[Tensor]:
    """Three frames, or those of a source, each of which takes so long."""
    for frame in source or iter(torch.zeros(3, 1)):
        hand.now += seconds
        yield frame


def test_a_stage_that_waits_is_paused() -> None:
    hand = Hand()
    watch = Stopwatch(torch.device("cpu"), clock=hand)
    first = watch.watch("first", frames(hand, 2.0))
    assert len(list(watch.watch("second", frames(hand, 0.5, first)))) == 3
    assert watch.seconds == {"first": 6.0, "second": 1.5}


def test_what_is_outside_of_all_stages_counts_for_none() -> None:
    hand = Hand()
    watch = Stopwatch(torch.device("cpu"), clock=hand)
    with watch.of("inside"):
        hand.now += 1
    hand.now += 5
    with watch.of("inside"):
        hand.now += 1
    assert watch.seconds == {"inside": 2.0}
