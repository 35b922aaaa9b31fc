"""Whether a video can be made in the memory that there is: told before a large model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from starflow_v.cli.common.checks import wished_size
from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.options import CacheName
from starflow_v.cli.common.settings import SPANS, Wishes

if TYPE_CHECKING:
    import torch

    from starflow_v.nn.storage import CacheStorage
    from starflow_v.planner import Method, Need, Scheme

LARGE = 1e9
"""Bytes of weights from which on an estimate is worth its seconds."""
GB = 1e9


def cache_storage(name: str | None) -> CacheStorage:
    """The storage that --kv-dtype names."""
    import torch

    from starflow_v.nn.storage import Int8Storage, PlainStorage

    if name == "int8":
        return Int8Storage()
    return PlainStorage(None if name is None else getattr(torch, name))


def cache_method(name: CacheName | None) -> Method:
    """Everything on the device, keys and values kept as --kv-dtype says."""
    from starflow_v.planner import EVERYTHING_ON_DEVICE, Cache

    if name is None:
        return EVERYTHING_ON_DEVICE
    cache = Cache(name=name.value, storage=cache_storage(name.value))
    return replace(EVERYTHING_ON_DEVICE, cache=cache)


def check_memory(
    folder: ModelFolder,
    wishes: Wishes,
    device: torch.device,
    *,
    batch: int,
    draws: int = 1,
    force: bool = False,
) -> None:
    """Tells what a large model will take, and refuses what cannot fit unless forced.

    Args:
        folder: the model.
        wishes: what the user said.
        device: where it will run.
        batch: videos made side by side.
        draws: how often each of them is drawn.
        force: only warn.
    """
    if "flow" not in folder or folder["flow"].kind != "StarFlowModel":
        return
    files = (path for part in folder.components for path in part.weight_files)
    if sum(path.stat().st_size for path in files) < LARGE:
        return
    from starflow_v.planner import free_memory

    free = free_memory(device)
    need = memory_need(folder, wishes, device, batch=batch * draws)
    typer.echo(
        f"estimate: {need.device / GB:.1f} GB of memory (weights {need.weights / GB:.1f}, keys and "
        f"values {need.caches / GB:.1f}, activations {need.passing / GB:.1f}); {free / GB:.1f} GB "
        f"are free on {device}",
        err=True,
    )
    if need.device <= free or force:
        return
    ways = [
        f"{option} ({smaller / GB:.1f} GB)"
        for option, smaller in _smaller(folder, wishes, device, batch, draws)
        if smaller <= free
    ]
    advice = f"this would do: {'; or '.join(ways)}" if ways else "no option of this command will do"
    raise ValueError(
        f"the video needs {need.device / GB:.1f} GB and {device} has {free / GB:.1f} GB free; "
        f"{advice}. docs/memory.md tells of offloading, --force goes on all the same"
    )


def memory_need(folder: ModelFolder, wishes: Wishes, device: torch.device, *, batch: int) -> Need:
    """The memory of the run that is wished for."""
    import torch

    from starflow_v.planner import Blueprint, Job, Planner, memory_of, stages_of

    dtype = wishes.dtype or ("float32" if device.type == "cpu" else "bfloat16")
    blueprint = Blueprint.from_folder(folder.path).in_precision(getattr(torch, dtype))
    height, width = wished_size(wishes, folder)
    job = Job.of(
        blueprint,
        height=height,
        width=width,
        num_frames=_whole(wishes.num_frames),
        guidance=wishes.guidance_scale,
        batch=batch,
    )
    method = cache_method(CacheName(wishes.kv_dtype) if wishes.kv_dtype else None)
    scheme = _scheme_of(wishes)
    stages = stages_of(method, Planner(blueprint, job), scheme)
    return memory_of(method, blueprint, stages)


def _smaller(
    folder: ModelFolder, wishes: Wishes, device: torch.device, batch: int, draws: int
) -> Iterator[tuple[str, float]]:
    """Options that take less memory, and how much is left of it."""
    wide = device.type == "cpu" and wishes.dtype in (None, "float32")
    options = []
    if wishes.kv_dtype != "int8":
        options.append(("--kv-dtype int8", replace(wishes, kv_dtype="int8")))
    if wide:
        options.append(("--dtype bfloat16", replace(wishes, dtype="bfloat16")))
        both = replace(wishes, dtype="bfloat16", kv_dtype="int8")
        options.append(("--dtype bfloat16 --kv-dtype int8", both))
    for option, changed in options:
        yield option, memory_need(folder, changed, device, batch=batch * draws).device
    if draws > 1:
        yield "--candidates 1", memory_need(folder, wishes, device, batch=batch).device
    if batch > 1:
        yield "--batch-size 1", memory_need(folder, wishes, device, batch=draws).device


def _scheme_of(wishes: Wishes) -> Scheme:
    """The solver's spans; how often it evaluates does not matter to memory."""
    from starflow_v.planner import SCHEMES
    from starflow_v.planner.schemes import Effort

    span = SPANS.get(wishes.solver or "sliding")
    if span is None:
        return SCHEMES["sequential"]
    effort = Effort(passes=1, span=wishes.block_size or span)
    return replace(SCHEMES["paper"], deep=effort, shallow=effort)


def _whole(num_frames: int | None) -> int | None:
    """Rounded up to 1 + 4k; the pipeline will warn of it."""
    return None if num_frames is None else 1 + -(-(num_frames - 1) // 4) * 4
