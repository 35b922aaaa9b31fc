"""What every benchmark ends with: one JSON line that says what was measured, on what, and how."""

import json
from typing import Any

from starflow_v.benchmark.report import environment, weights_hash

__all__ = ["environment", "print_report", "weights_hash"]


def print_report(
    name: str, *, settings: dict[str, Any], environment: dict[str, Any], results: dict[str, Any]
) -> None:
    """The last line of a benchmark."""
    line = {
        "benchmark": name,
        "settings": settings,
        "environment": environment,
        "results": results,
    }
    print(json.dumps(line))
