"""Ways to make a model fit: where its weights and caches are, and what then is needed.

A stream holds the caches of all stages at once and the passing memory of one. A run of stage after
stage holds those of one stage only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from starflow_v.nn.cache import AS_THEY_COME
from starflow_v.nn.storage import CacheStorage, Int8Storage
from starflow_v.planner.blueprint import Blueprint
from starflow_v.planner.devices import Device
from starflow_v.planner.placements import (
    AS_COMPUTED,
    FP8,
    INT4,
    INT8,
    ON_DEVICE,
    GroupOffload,
    ModelOffload,
    OnDevice,
    Placement,
    Precision,
    SequentialOffload,
    weights_of,
)
from starflow_v.planner.schemes import Scheme
from starflow_v.planner.stages import Planner, StageCost


@dataclass(frozen=True, kw_only=True)
class Cache:
    """How keys and values are kept.

    Args:
        name: what tables call it.
        storage: in which form.
        offloaded: whether all layers' but one's are in the host's memory.
    """

    name: str
    storage: CacheStorage = AS_THEY_COME
    offloaded: bool = False


PLAIN_CACHE = Cache(name="as computed")
INT8_CACHE = Cache(name="int8", storage=Int8Storage())
HOST_CACHE = Cache(name="in host memory", offloaded=True)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to run.

    Args:
        placement: where weights are.
        precision: how they are stored.
        cache: how keys and values are.
    """

    placement: Placement = ON_DEVICE
    precision: Precision = AS_COMPUTED
    cache: Cache = PLAIN_CACHE

    @property
    def name(self) -> str:
        """One line for people."""
        return f"{self.placement.name}, weights {self.precision.name}, cache {self.cache.name}"


EVERYTHING_ON_DEVICE = Method()
METHODS = (
    EVERYTHING_ON_DEVICE,
    Method(cache=INT8_CACHE),
    Method(precision=FP8, cache=INT8_CACHE),
    Method(precision=INT8, cache=INT8_CACHE),
    Method(precision=INT4, cache=INT8_CACHE),
    Method(placement=ModelOffload()),
    Method(placement=ModelOffload(), cache=INT8_CACHE),
    Method(placement=ModelOffload(), precision=INT8, cache=INT8_CACHE),
    Method(placement=GroupOffload(), cache=INT8_CACHE),
    Method(placement=GroupOffload(), cache=HOST_CACHE),
    Method(placement=SequentialOffload(), cache=HOST_CACHE),
)


@dataclass(frozen=True, kw_only=True)
class Need:
    """The memory of a run, in bytes.

    Args:
        weights: on the device.
        caches: keys and values and the decoder's memory, on the device.
        passing: activations, at their largest.
        host: in the host's memory because of offloading.
    """

    weights: float
    caches: float
    passing: float
    host: float = 0.0

    @property
    def device(self) -> float:
        """All that is on the device at the worst moment."""
        return self.weights + self.caches + self.passing


def stages_of(method: Method, planner: Planner, scheme: Scheme) -> dict[str, StageCost]:
    """The stages, run as the method does."""
    whole = method.placement.whole
    return planner.stages(scheme, storage=method.cache.storage, whole=whole)


def memory_of(method: Method, blueprint: Blueprint, stages: Mapping[str, StageCost]) -> Need:
    """The memory of a run.

    Args:
        method: the way to run.
        blueprint: the model, in the precision that it computes in.
        stages: those of `stages_of` the method.
    """
    weights = weights_of(blueprint, method.precision)
    place = method.placement
    caches, passing = {}, {}
    for name, stage in stages.items():
        kept = float(stage.kept)
        passing[name] = stage.peak - kept
        layers = _layers(blueprint, name)
        caches[name] = kept / layers if method.cache.offloaded else kept
    hidden = sum(stages[name].kept - caches[name] for name in stages)
    if method.precision.matrix is not None:
        wide = max(each.matrix for each in weights_of(blueprint).values())
        passing = {name: room + wide for name, room in passing.items()}
    held = {name: place.on_device(weights, name) for name in stages}
    if place.whole:
        worst = max(stages, key=lambda name: held[name] + caches[name] + passing[name])
        need = Need(weights=held[worst], caches=caches[worst], passing=passing[worst])
    else:
        need = Need(
            weights=max(held.values()), caches=sum(caches.values()), passing=max(passing.values())
        )
    everything = sum(each.total for each in weights.values())
    elsewhere = 0.0 if isinstance(place, OnDevice) else everything
    return Need(
        weights=need.weights, caches=need.caches, passing=need.passing, host=elsewhere + hidden
    )


def time_of(
    method: Method,
    blueprint: Blueprint,
    stages: Mapping[str, StageCost],
    device: Device,
    dtype: torch.dtype,
) -> dict[str, float]:
    """Seconds of each stage; what is offloaded comes over the bus for every evaluation."""
    weights, times = weights_of(blueprint, method.precision), {}
    for name, stage in stages.items():
        fetched = method.placement.fetched(weights, name)
        if method.cache.offloaded:
            fetched += stage.kept * (1 - 1 / _layers(blueprint, name))
        slowest = fetched / device.bus
        times[name] = sum(
            max(device.seconds(work, dtype), slowest) * count for work, count in stage.calls
        )
    return times


def _layers(blueprint: Blueprint, stage: str) -> int:
    """Layers of the transformer whose keys and values a stage keeps; 1 for the codec's memory."""
    if stage == "deep":
        return blueprint.flow.deep.block.layers
    if stage == "denoise" and blueprint.denoiser is not None:
        return len(blueprint.denoiser.transformer.layers)
    return 1
