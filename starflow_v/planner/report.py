"""A plan as text: for people, and as the Markdown table of docs/memory.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from starflow_v.planner.devices import Device
from starflow_v.planner.methods import METHODS, Method, memory_of, stages_of, time_of
from starflow_v.planner.schemes import Scheme
from starflow_v.planner.stages import STAGES, Planner

GB = 1e9
HEADINGS = (
    "where weights are",
    "weights",
    "keys and values",
    "on the device",
    "without guidance",
    "in host memory",
    "{scheme} on {device}",
)


def describe_plan(
    planner: Planner, method: Method, schemes: Sequence[Scheme], device: Device, dtype: torch.dtype
) -> dict[str, Any]:
    """The facts, for programs: bytes, FLOPs and seconds."""
    stages = {scheme.name: stages_of(method, planner, scheme) for scheme in schemes}
    need = memory_of(method, planner.blueprint, stages[schemes[0].name])
    job = planner.job
    return {
        "model": planner.blueprint.name,
        "parameters": planner.blueprint.parameters,
        "video": {
            "num_frames": job.num_frames,
            "height": job.height,
            "width": job.width,
            "guidance": job.guidance,
            "batch": job.batch,
        },
        "device": device.name,
        "dtype": str(dtype).removeprefix("torch."),
        "method": method.name,
        "memory": {
            "weights": need.weights,
            "caches": need.caches,
            "passing": need.passing,
            "runtime": device.runtime,
            "device": need.device + device.runtime,
            "host": need.host,
            "available": device.memory,
            "by_stage": {
                name: {"kept": stage.kept, "peak": stage.peak}
                for name, stage in stages[schemes[0].name].items()
            },
        },
        "schemes": {
            scheme.name: {
                "source": scheme.source,
                "seconds": time_of(method, planner.blueprint, stages[scheme.name], device, dtype),
                "evaluations": {n: s.evaluations for n, s in stages[scheme.name].items()},
                "flops": {n: s.work.flops for n, s in stages[scheme.name].items()},
                "moved": {n: s.work.moved for n, s in stages[scheme.name].items()},
            }
            for scheme in schemes
        },
    }


def as_text(facts: dict[str, Any]) -> str:
    """The facts, for people."""
    return "\n".join(_lines(facts))


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    video, memory = facts["video"], facts["memory"]
    yield (
        f"{facts['model']}: {video['num_frames']} frames of {video['width']}x{video['height']}, "
        f"guidance {video['guidance']:g}, {video['batch']} at a time, in {facts['dtype']} on "
        f"{facts['device']}"
    )
    named = ", ".join(f"{name} {count:,}" for name, count in facts["parameters"].items())
    yield f"parameters: {named}"
    yield f"\nmemory ({facts['method']})"
    for name, what in (
        ("weights", "weights"),
        ("caches", "keys and values, the codec's memory"),
        ("passing", "activations"),
        ("runtime", "libraries"),
        ("device", "in all"),
    ):
        yield f"  {what:36} {memory[name] / GB:8.2f} GB"
    fits = "fits into" if memory["device"] <= memory["available"] else "does NOT fit into"
    yield f"  {fits} {memory['available'] / GB:.1f} GB"
    if memory["host"]:
        yield f"  and in the host's memory{'':13} {memory['host'] / GB:8.2f} GB"
    yield f"\n{'seconds, at least':20}" + "".join(f"{name:>10}" for name in (*STAGES, "total"))
    for name, scheme in facts["schemes"].items():
        seconds = [scheme["seconds"][stage] for stage in STAGES]
        yield f"  {name:18}" + "".join(f"{second:10.3g}" for second in (*seconds, sum(seconds)))
    yield f"\n{'evaluations':20}" + "".join(f"{name:>10}" for name in STAGES)
    for name, scheme in facts["schemes"].items():
        counts = [scheme["evaluations"][stage] for stage in STAGES]
        yield f"  {name:18}" + "".join(f"{count:10.0f}" for count in counts)
    yield f"\n{'TFLOP':20}" + "".join(f"{name:>10}" for name in STAGES)
    for name, scheme in facts["schemes"].items():
        yield f"  {name:18}" + "".join(f"{scheme['flops'][stage] / 1e12:10.4g}" for stage in STAGES)
    yield ""
    for name, scheme in facts["schemes"].items():
        yield f"{name}: {scheme['source']}"


def as_table(
    planner: Planner, unguided: Planner, scheme: Scheme, device: Device, dtype: torch.dtype
) -> str:
    """Memory and time by method, in Markdown.

    Args:
        planner: the job.
        unguided: the same without guidance.
        scheme: what the times are of.
        device: what the times are on.
        dtype: what it computes in.
    """
    heads = [head.format(scheme=scheme.name, device=device.name) for head in HEADINGS]
    rows = [heads, ["---"] * len(heads)]
    for method in METHODS:
        stages = stages_of(method, planner, scheme)
        need = memory_of(method, planner.blueprint, stages)
        bare = memory_of(method, unguided.blueprint, stages_of(method, unguided, scheme))
        seconds = sum(time_of(method, planner.blueprint, stages, device, dtype).values())
        rows.append(
            [
                method.placement.name,
                method.precision.name,
                method.cache.name,
                f"{(need.device + device.runtime) / GB:.1f} GB",
                f"{(bare.device + device.runtime) / GB:.1f} GB",
                f"{need.host / GB:.1f} GB" if need.host else "",
                f"{seconds:.0f} s",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
