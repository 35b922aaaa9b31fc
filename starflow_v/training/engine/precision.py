"""Which numbers networks compute with while they are trained.

In bfloat16 a step takes a fraction of the time where the device multiplies it, and many times as
long where it is emulated, as on processors that have AVX2 at most.
"""

from __future__ import annotations

from typing import Final

import torch

PRECISIONS: Final = ("auto", "bf16", "float32")


def check_precision(precision: str) -> None:
    """Refuse what is none of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")


def mixed_precision(precision: str) -> str:
    """One of `PRECISIONS` -> what accelerate calls it: "bf16" or "no"."""
    wanted = precision == "bf16" or (precision == "auto" and _multiplies_bf16())
    return "bf16" if wanted else "no"


def _multiplies_bf16() -> bool:
    if torch.accelerator.is_available():
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported()
    return torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX"))
