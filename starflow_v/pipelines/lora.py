"""LoRA adapters of a pipeline's flow and denoiser, in diffusers' layout.

An adapter adds to the weight of a linear layer a product of two thin matrices,
W + alpha/rank · B A (arXiv 2106.09685); `starflow-v train` makes them. The file
`pytorch_lora_weights.safetensors` names them after the component and the layer:

    flow.deep.block.transformer.layers.0.attention.qkv.lora_A.weight      (rank, inputs)
    flow.deep.block.transformer.layers.0.attention.qkv.lora_B.weight      (outputs, rank)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from diffusers.loaders import CogVideoXLoraLoaderMixin
from diffusers.loaders.lora_base import LoraBaseMixin
from diffusers.utils import is_peft_available
from torch import Tensor, nn

ADAPTABLE = ("flow", "denoiser")
"""Components of a pipeline that adapters fit."""


class StarFlowVLoraLoaderMixin(LoraBaseMixin):
    """`load_lora_weights`, `fuse_lora` and their like; `set_adapters`, `disable_lora`,
    `delete_adapters` and others are diffusers' own."""

    _lora_loadable_modules: ClassVar = list(ADAPTABLE)

    @classmethod
    def lora_state_dict(
        cls, folder: str | Path | Mapping[str, Tensor], weight_name: str | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
        """An adapter's tensors, and what the file says beside them (alpha, for one).

        Args:
            folder: a folder, a repository or the tensors themselves. Pickles are not read.
            weight_name: the file in it.
        """
        # Reading is the same for all of diffusers' pipelines; this one's reads nothing else.
        state, metadata = CogVideoXLoraLoaderMixin.lora_state_dict(
            dict(folder) if isinstance(folder, Mapping) else str(folder),
            weight_name=weight_name,
            use_safetensors=True,
            return_lora_metadata=True,
        )
        return state, metadata

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Tensor],
        adapter_name: str | None = None,
        *,
        weight_name: str | None = None,
    ) -> None:
        """Add an adapter to the flow and the denoiser, and use it.

        Args:
            pretrained_model_name_or_path_or_dict: a folder, a repository or the tensors.
            adapter_name: what to call it; `None`: default_0, default_1 ...
            weight_name: the file in the folder; `None`: pytorch_lora_weights.safetensors.

        Raises:
            ImportError: if peft is not installed.
            ValueError: if the adapter does not fit this pipeline; nothing is changed then.
        """
        require_peft()
        state, metadata = self.lora_state_dict(pretrained_model_name_or_path_or_dict, weight_name)
        models: dict[str, Any] = {name: getattr(self, name) for name in ADAPTABLE}
        check_adapter(state, {name: model for name, model in models.items() if model is not None})
        name = adapter_name or self._new_adapter_name()
        for component, model in models.items():
            if any(key.startswith(f"{component}.") for key in state):
                model.load_lora_adapter(
                    state, prefix=component, adapter_name=name, metadata=metadata, _pipeline=self
                )

    @classmethod
    def save_lora_weights(
        cls,
        save_directory: str | Path,
        flow_lora_layers: Mapping[str, Tensor] | None = None,
        denoiser_lora_layers: Mapping[str, Tensor] | None = None,
        *,
        flow_lora_adapter_metadata: Mapping[str, Any] | None = None,
        denoiser_lora_adapter_metadata: Mapping[str, Any] | None = None,
        is_main_process: bool = True,
        weight_name: str | None = None,
    ) -> None:
        """Write an adapter that `load_lora_weights` reads.

        Args:
            save_directory: where to.
            flow_lora_layers: the flow's tensors, by peft's `get_peft_model_state_dict`.
            denoiser_lora_layers: the denoiser's.
            flow_lora_adapter_metadata: its `peft_config` as a dictionary: it tells alpha.
            denoiser_lora_adapter_metadata: the denoiser's.
            is_main_process: only the main one of several processes writes.
            weight_name: the file's name; `None`: pytorch_lora_weights.safetensors.
        """
        layers = {"flow": flow_lora_layers, "denoiser": denoiser_lora_layers}
        told = {"flow": flow_lora_adapter_metadata, "denoiser": denoiser_lora_adapter_metadata}
        if not any(layers.values()):
            raise ValueError("give flow_lora_layers or denoiser_lora_layers, or both")
        if is_main_process:
            cls.write_lora_layers(
                state_dict=_with_prefixes(layers),
                save_directory=os.fspath(save_directory),
                is_main_process=True,
                weight_name=weight_name,
                save_function=None,
                safe_serialization=True,
                lora_adapter_metadata=_with_prefixes(told),
            )

    def fuse_lora(
        self,
        components: Sequence[str] = ADAPTABLE,
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
    ) -> None:
        """Add the adapters to the weights themselves: as fast as the model without them.

        Args:
            components: of which components.
            lora_scale: factor of what is added.
            safe_fusing: refuse weights that become NaN.
            adapter_names: which adapters; `None`: the active ones.
        """
        require_peft()
        super().fuse_lora(
            components=list(components),
            lora_scale=lora_scale,
            safe_fusing=safe_fusing,
            adapter_names=adapter_names,
        )

    def unfuse_lora(self, components: Sequence[str] = ADAPTABLE) -> None:
        """Take fused adapters out of the weights again, up to rounding."""
        require_peft()
        super().unfuse_lora(components=list(components))

    def unload_lora_weights(self) -> None:
        """Remove all adapters; the weights are as they were (fused ones stay fused)."""
        require_peft()
        super().unload_lora_weights()

    def _new_adapter_name(self) -> str:
        taken = {name for names in self.get_list_adapters().values() for name in names}
        return next(name for name in (f"default_{i}" for i in count()) if name not in taken)


def require_peft() -> None:
    """An `ImportError` that says how to get peft, if it is not there."""
    if not is_peft_available():
        raise ImportError("LoRA needs peft; install it by: pip install 'starflow_v[lora]'")


def check_adapter(state: Mapping[str, Tensor], models: Mapping[str, nn.Module]) -> None:
    """A `ValueError` unless every tensor of an adapter has its place and fits it."""
    layers = {
        f"{component}.{name}": module
        for component, model in models.items()
        for name, module in model.named_modules()
        if hasattr(module, "in_features") and hasattr(module, "out_features")
    }
    if not state:
        raise ValueError("this adapter holds no tensors")
    adapted = set()
    for key in state:
        name, _, side = key.removesuffix(".weight").rpartition(".")
        if side not in ("lora_A", "lora_B"):
            raise ValueError(
                f"{key!r} is no tensor of a LoRA adapter; expected names such as "
                "flow.deep.block.transformer.layers.0.attention.qkv.lora_A.weight"
            )
        if name not in layers:
            raise ValueError(
                f"the adapter has {key!r}, but this pipeline has no linear layer {name!r}: it "
                f"belongs to another model{_nearest(layers)}"
            )
        adapted.add(name)
    for name in sorted(adapted):
        _check_shapes(name, layers[name], state)


def _check_shapes(name: str, layer: Any, state: Mapping[str, Tensor]) -> None:
    """Compares both tensors of a layer's adapter with the layer: A (rank, in), B (out, rank)."""
    sides = [state.get(f"{name}.lora_{side}.weight") for side in "AB"]
    if any(tensor is None for tensor in sides):
        raise ValueError(f"the adapter has only one of lora_A and lora_B for {name!r}")
    a, b = (tuple(tensor.shape) for tensor in sides if tensor is not None)
    rank = b[-1]
    expected = (rank, layer.in_features), (layer.out_features, rank)
    if (a, b) != expected:
        raise ValueError(
            f"the adapter's tensors for {name!r} are {a} and {b}; expected {expected[0]} and "
            f"{expected[1]} for a layer of {layer.in_features} inputs and {layer.out_features} "
            "outputs: it belongs to another model"
        )


def _nearest(layers: Iterable[str]) -> str:
    first = next(iter(layers), None)
    return "" if first is None else f", whose layers are called such as {first!r}"


def _with_prefixes(parts: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """Component -> name -> value, as component.name -> value."""
    return {
        f"{component}.{name}": value
        for component, values in parts.items()
        for name, value in (values or {}).items()
    }
