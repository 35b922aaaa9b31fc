"""Where weights are while a stage runs, and in which precision they are stored.

on the device        everything; frames are streamed
model offload        one network at a time; stages run one after the other
group offload        one layer of a network at a time, fetched before it runs
sequential offload   one matrix at a time
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from torch import nn

from starflow_v.nn.transformer import Transformer
from starflow_v.planner.blueprint import Blueprint, matrices
from starflow_v.planner.stages import STAGES


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


ON_DEVICE = OnDevice()


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
