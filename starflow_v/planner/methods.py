"""Ways to make a model fit: where its weights and caches are, and in which precision.

    on the device        everything; frames are streamed
    model offload        one network at a time; stages run one after the other
    group offload        one layer of a network at a time, fetched before it runs
    sequential offload   one matrix at a time

A stream holds the caches of all stages at once and the passing memory of one. A run of stage after
stage holds those of one stage only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

from starflow_v.nn.cache import AS_THEY_COME
from starflow_v.nn.storage import CacheStorage, Int8Storage
from starflow_v.nn.transformer import Transformer
from starflow_v.planner.blueprint import Blueprint, matrices
from starflow_v.planner.devices import Device
from starflow_v.planner.schemes import Scheme
from starflow_v.planner.stages import STAGES, Planner, StageCost


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How weights are stored.

    Args:
        name: what tables call it.
        matrix: bytes of a number in the matrices of flow and denoiser; `None`: as it computes.
            (Other parts and all vectors stay as they are.)
    """

    name: str
    matrix: float | None = None


AS_COMPUTED = Precision(name="as computed")
FP8 = Precision(name="fp8 layers", matrix=1.0)
INT8 = Precision(name="int8", matrix=1.0)
INT4 = Precision(name="int4", matrix=0.5 + 4 / 128)
"""Groups of 128 numbers share a scale and a zero point of 16 bits each."""


@dataclass(frozen=True)
class Weights:
    """Bytes of a network.

    Args:
        total: of all of it.
        layer: of its largest layer.
        matrix: of its largest matrix.
        blocks: how many equal parts it has of which a call needs one.
    """

    total: float
    layer: float
    matrix: float
    blocks: int = 1

    @property
    def in_call(self) -> float:
        """Bytes that one call needs."""
        return self.total / self.blocks

    @classmethod
    def of(cls, module: nn.Module, precision: Precision) -> Weights:
        """The weights of a module on `meta`, in its own precision but for the matrices."""
        width = next(module.parameters()).element_size()
        own = width if precision.matrix is None else precision.matrix
        inside = [part for part in module.modules() if isinstance(part, Transformer)]
        stored = {id(matrix.weight) for part in inside for matrix in matrices(part)}

        def size(part: nn.Module) -> float:
            return sum(
                weight.numel() * (own if id(weight) in stored else weight.element_size())
                for weight in part.parameters()
            )

        layers = [size(part) for part in _layers_in(module)]
        leaves = [size(part) for part in module.modules() if not any(part.children())]
        return cls(size(module), max(layers, default=max(leaves)), max(leaves))


def _layers_in(module: nn.Module) -> Iterator[nn.Module]:
    """What group offload moves as one: an element of a list of modules that holds no other list."""
    for part in module.modules():
        if isinstance(part, nn.ModuleList):
            for layer in part:
                if not any(isinstance(inner, nn.ModuleList) for inner in layer.modules()):
                    yield layer


class Placement(Protocol):
    """Where weights are while a stage runs."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def whole(self) -> bool:
        """Whether stages run one after the other."""

    def on_device(self, weights: Mapping[str, Weights], stage: str) -> float:
        """Bytes of weights on the device."""

    def fetched(self, weights: Mapping[str, Weights], stage: str) -> float:
        """Bytes of weights that each evaluation brings to the device."""


@dataclass(frozen=True)
class OnDevice:
    """All of them on the device."""

    name: str = "on the device"
    whole: bool = False

    def on_device(self, weights: Mapping[str, Weights], stage: str) -> float:
        return sum(weights[name].total for name in STAGES)

    def fetched(self, weights: Mapping[str, Weights], stage: str) -> float:
        return 0.0


@dataclass(frozen=True)
class ModelOffload:
    """The network of the stage."""

    name: str = "model offload"
    whole: bool = True

    def on_device(self, weights: Mapping[str, Weights], stage: str) -> float:
        halves = ("deep", "shallow") if stage in ("deep", "shallow") else (stage,)
        return sum(weights[half].total for half in halves)

    def fetched(self, weights: Mapping[str, Weights], stage: str) -> float:
        return 0.0


@dataclass(frozen=True)
class GroupOffload:
    """A layer, and the next one on its way."""

    name: str = "group offload"
    whole: bool = False

    def on_device(self, weights: Mapping[str, Weights], stage: str) -> float:
        return 2 * max(each.layer for each in weights.values())

    def fetched(self, weights: Mapping[str, Weights], stage: str) -> float:
        return weights[stage].in_call


@dataclass(frozen=True)
class SequentialOffload:
    """A matrix."""

    name: str = "sequential offload"
    whole: bool = False

    def on_device(self, weights: Mapping[str, Weights], stage: str) -> float:
        return max(each.matrix for each in weights.values())

    def fetched(self, weights: Mapping[str, Weights], stage: str) -> float:
        return weights[stage].in_call


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

    placement: Placement = OnDevice()
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


def weights_of(blueprint: Blueprint, precision: Precision = AS_COMPUTED) -> dict[str, Weights]:
    """The weights that each stage works with."""
    flow = blueprint.flow
    by_stage: dict[str, nn.Module | None] = {
        "text": blueprint.text_encoder,
        "deep": flow.deep,
        "shallow": flow.shallow,
        "denoise": blueprint.denoiser,
        "decode": blueprint.vae,
    }
    none = Weights(0.0, 0.0, 0.0)
    weights = {
        stage: none if module is None else Weights.of(module, precision)
        for stage, module in by_stage.items()
        if module is not flow.shallow or flow.shallow.blocks
    }
    if "shallow" not in weights:
        return weights | {"shallow": none}
    blocks = len(flow.shallow.blocks)
    return weights | {"shallow": replace(weights["shallow"], blocks=blocks)}


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


def parameters_of(blueprint: Blueprint) -> dict[str, int]:
    """Parameters of each network; those of the flow by its halves."""
    modules = {
        **blueprint.parts,
        "flow.shallow": blueprint.flow.shallow,
        "flow.deep": blueprint.flow.deep,
    }
    return {name: sum(it.numel() for it in part.parameters()) for name, part in modules.items()}
