"""What a device can do, and how long work takes on it.

An evaluation takes the longest of three: its FLOPs at the peak rate, its bytes at the peak
bandwidth, or the time to start its kernels. (A CPU starts them itself: there that time is added.)
Vendors' peak figures are never quite reached, so times are lower bounds; a CPU's are measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from starflow_v.nn.rope import rotary, video_positions
from starflow_v.nn.transformer import TransformerLayer
from starflow_v.planner.trace import Work, tracing

Clock = Callable[[], float]
CGROUP = Path("/sys/fs/cgroup")
FEWEST_RUNS = 4
"""Of a probe, however slow the machine."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A processor and its memory.

    Args:
        name: what people call it.
        flops: FLOP/s of dense products, by precision.
        bandwidth: bytes/s between memory and processor.
        memory: bytes.
        bus: bytes/s from the host's memory, for what is offloaded there.
        launch: seconds to start a kernel.
        queued: whether kernels are started while others run.
        runtime: bytes that the libraries themselves take.
    """

    name: str
    flops: Mapping[torch.dtype, float]
    bandwidth: float
    memory: float
    bus: float = 25e9
    launch: float = 5e-6
    queued: bool = True
    runtime: float = 0.6e9

    def seconds(self, work: Work, dtype: torch.dtype) -> float:
        """How long it takes at least, if nothing else is going on."""
        if dtype not in self.flops:
            raise ValueError(f"no figure for {dtype} on {self.name}: expected {list(self.flops)}")
        inside = max(work.flops / self.flops[dtype], work.moved / self.bandwidth)
        outside = work.kernels * self.launch
        return max(inside, outside) if self.queued else inside + outside


def _rates(half: float, single: float) -> dict[torch.dtype, float]:
    """TFLOP/s in 16 and in 32 bits."""
    return {
        torch.bfloat16: half * 1e12,
        torch.float16: half * 1e12,
        torch.float32: single * 1e12,
    }


DEVICES = {
    device.name: device
    for device in (
        Device(name="h200", flops=_rates(989, 67), bandwidth=4.8e12, memory=141e9, bus=55e9),
        Device(name="h100", flops=_rates(989, 67), bandwidth=3.35e12, memory=80e9, bus=55e9),
        Device(name="a100", flops=_rates(312, 19.5), bandwidth=2.04e12, memory=80e9),
        Device(name="l40s", flops=_rates(362, 91.6), bandwidth=864e9, memory=48e9),
        Device(name="rtx4090", flops=_rates(165, 82.6), bandwidth=1.01e12, memory=24e9),
        Device(name="rtx3090", flops=_rates(71, 35.6), bandwidth=936e9, memory=24e9),
        Device(name="m3max", flops=_rates(28.4, 14.2), bandwidth=400e9, memory=128e9, bus=400e9),
    )
}
"""Vendors' figures of the dense products with sums in float32, memory as sold."""


def measure_cpu(
    dtype: torch.dtype, *, seconds: float = 0.3, clock: Clock = time.perf_counter
) -> Device:
    """This machine, by a product of matrices and by products of a matrix with a few rows.

    The latter are what a token's evaluation is made of: they read the matrix once, so they tell at
    which rate weights stream through the processor.

    Args:
        dtype: the precision that is planned for.
        seconds: how long each of the two is repeated; the fastest run counts.
        clock: `time.thread_time` leaves out what other programs do (with one thread).
    """
    timed = partial(_fastest, clock=clock)
    rows, side = 512, 2048
    wide = torch.randn(side, side).to(dtype)
    product = timed(lambda x: torch.mm(x, wide), torch.randn(rows, side).to(dtype), seconds)
    weights = torch.randn(4 * side, 2 * side).to(dtype)
    stream = timed(lambda x: torch.mm(x, weights), torch.randn(2, 4 * side).to(dtype), seconds)
    return Device(
        name="cpu",
        flops={dtype: 2 * rows * side * side / product},
        bandwidth=weights.numel() * weights.element_size() / stream,
        memory=float(free_memory(torch.device("cpu"))),
        launch=_launch(dtype, timed),
        queued=False,
        bus=1e12,
    )


def _launch(dtype: torch.dtype, timed: Callable[..., float]) -> float:
    """Seconds to start an operation, from a layer that is too small to take any others."""
    layer = TransformerLayer(16, 16).to(dtype)
    table = rotary(video_positions(1, 1, 1, reference=1.0), 16)
    token = torch.zeros(1, 1, 16, dtype=dtype)
    with torch.no_grad():
        with tracing() as trace:
            layer(token, table)
        return timed(lambda x: layer(x, table), token, 0.03) / trace.work.kernels


def _fastest(
    run: Callable[[torch.Tensor], object], argument: torch.Tensor, budget: float, *, clock: Clock
) -> float:
    """Seconds of the fastest of many runs, the first ones aside, which warm up."""
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < FEWEST_RUNS or time.perf_counter() < end:
        start = clock()
        run(argument)
        times.append(clock() - start)
    return min(times[1:])


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device; in a container, within its limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    import psutil

    return min(psutil.virtual_memory().available, _left_in_container())


def _left_in_container() -> int:
    """What a control group leaves, pages of files that it would drop included; where there is none,
    a number beyond every machine."""
    try:
        limit = int((CGROUP / "memory.max").read_text("ascii"))
        used = int((CGROUP / "memory.current").read_text("ascii"))
        lines = (CGROUP / "memory.stat").read_text("ascii").splitlines()
        pages = dict(line.split() for line in lines)
        return limit - used + int(pages.get("inactive_file", 0))
    except (OSError, ValueError):
        return 2**62
