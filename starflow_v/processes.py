"""Several processes, as `accelerate launch` and `torchrun` start them: which one is this?

The processes need not talk to each other: each takes every `count`-th piece of the work.
"""

from __future__ import annotations

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

    def share(self, pieces: Sequence[T]) -> Sequence[T]:
        """What this process makes: every `count`-th piece."""
        return pieces[self.index :: self.count]


def this_process() -> Process:
    """As the launcher says in the environment; without a launcher, the only one."""
    index, count, local = (os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Process(index=int(index or 0), count=int(count or 1), local_index=int(local or 0))
