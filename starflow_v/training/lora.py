"""Fine-tuning with LoRA: the networks are frozen, and thin adapters beside their linear layers are
trained (arXiv 2106.09685).

    y = W x + alpha/rank · B A x,        A (rank, inputs), B (outputs, rank), B = 0 at first

This is the only file that knows peft, and the extra `lora` installs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusers import ModelMixin
from torch import Tensor, nn

from starflow_v.pipelines.lora import StarFlowVLoraLoaderMixin, require_peft


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """What is trained of a pipeline that a run begins with."""

    rank: int = 16
    """Width of the adapters."""
    alpha: float | None = None
    """The adapter counts alpha/rank; None: once."""
    targets: list[str] = field(default_factory=lambda: ["qkv", "proj"])
    """Linear layers that get adapters, by the ends of their names: qkv, proj, up, down ..."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"lora.rank={self.rank} is not valid: give 1 or more")
        if not self.targets:
            raise ValueError("lora.targets is empty: name linear layers, such as [qkv, proj]")


def add_adapter(model: ModelMixin, settings: LoraSettings) -> None:
    """Freeze a model and give its target layers adapters, which change nothing yet.

    Raises:
        ImportError: if peft is not installed.
        ValueError: if a target is no linear layer of the model.
    """
    require_peft()
    from peft import LoraConfig

    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for target in settings.targets:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            ends = sorted({name.rpartition(".")[2] for name in linear})
            raise ValueError(
                f"lora.targets names {target!r}, which is no linear layer of "
                f"{type(model).__name__}; its layers end in {', '.join(ends)}"
            )
    alpha = settings.rank if settings.alpha is None else settings.alpha
    model.requires_grad_(False)
    model.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules=list(settings.targets))
    )


def save_adapters(folder: Path, flow: ModelMixin, denoiser: ModelMixin) -> None:
    """Write the adapters of both for `pipe.load_lora_weights(folder)`."""
    StarFlowVLoraLoaderMixin.save_lora_weights(
        folder,
        flow_lora_layers=_tensors(flow),
        denoiser_lora_layers=_tensors(denoiser),
        flow_lora_adapter_metadata=_described(flow),
        denoiser_lora_adapter_metadata=_described(denoiser),
    )


def check_same_networks(start: Sequence[ModelMixin], own: Sequence[ModelMixin]) -> None:
    """A `ValueError` if the run's networks are others than those that it begins with."""
    for old, new in zip(start, own, strict=True):
        for key, value in new.config.items():
            if not key.startswith("_") and old.config[key] != value:
                raise ValueError(
                    f"an adapter fits no other network than its own, but {key} of "
                    f"{type(new).__name__} is {value} in this run and {old.config[key]} in the "
                    "pipeline that it begins with: give the pipeline's"
                )


def _tensors(model: ModelMixin) -> dict[str, Tensor]:
    from peft import get_peft_model_state_dict

    state: dict[str, Tensor] = get_peft_model_state_dict(model)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _described(model: ModelMixin) -> dict[str, Any]:
    """The adapter's settings as JSON knows them."""
    config: dict[str, Any] = model.peft_config["default"].to_dict()
    return {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
