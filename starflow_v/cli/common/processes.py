"""Videos spread over processes: batches are formed first and shared out whole.

A clip's seed is its own, so the videos do not depend on the number of processes.
"""

from starflow_v.processes import Process


def check_seed(seed: int | None, process: Process) -> None:
    """Refuses to draw a seed where every process would draw another one."""
    if seed is None and process.count > 1:
        raise ValueError(
            f"{process.count} processes make these videos, and each would draw a seed of its own; "
            "add --seed, such as --seed 0"
        )
