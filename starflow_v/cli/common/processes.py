"""Several processes, as `accelerate launch` and `torchrun` start them: each makes some videos.

Batches are formed first and shared out whole, and a clip's seed is its own, so the videos do not
depend on the number of processes. The processes need not talk to each other.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Process:
    """Which one of how many this process is."""

    index: int = 0
    count: int = 1
    local_index: int = 0
    """Among those on this machine: the number of its device."""

    def share(self, batches: Sequence[T]) -> Sequence[T]:
        """What this process makes: every `count`-th batch."""
        return batches[self.index :: self.count]


def this_process() -> Process:
    """As the launcher says in the environment; without a launcher, the only one."""
    index, count, local = (os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Process(index=int(index or 0), count=int(count or 1), local_index=int(local or 0))


def check_seed(seed: int | None, process: Process) -> None:
    """Refuses to draw a seed where every process would draw another one."""
    if seed is None and process.count > 1:
        raise ValueError(
            f"{process.count} processes make these videos, and each would draw a seed of its own; "
            "add --seed, such as --seed 0"
        )
