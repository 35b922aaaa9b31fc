"""The components of a pipeline that come from elsewhere: VAE, text encoder, tokenizer.

They are known by their configurations; their weights go from file to file like the flow's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, ModelMixin
from torch import nn

from starflow_v.checkpoints.places import find_part
from starflow_v.checkpoints.reading import Renamed, SafetensorsSource, TensorSource
from starflow_v.checkpoints.writing import Layout
from starflow_v.text import Tokenizer, load_tokenizer, text_encoder_on_meta
from starflow_v.vae import PatchCodec, PixelCodec

VAES = {kind.__name__: kind for kind in (AutoencoderKLWan, AutoencoderKL, PatchCodec, PixelCodec)}


OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
"""Parts of an attention, and their names when the image model's VAE was saved."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A network on its way into a pipeline's folder."""

    model: nn.Module
    """The network on meta."""
    source: TensorSource
    """Its weights, by the names that they will have."""
    dtype: torch.dtype | None = None
    """What they will be in; None: what they are in."""

    @property
    def layout(self) -> Layout:
        """What its files will hold."""
        return {
            name: tensor.to(self.dtype) if self.dtype and tensor.is_floating_point() else tensor
            for name, tensor in self.source.tensors.items()
        }

    @property
    def stem(self) -> str:
        """The name of its weight files, as its library looks for them."""
        return "diffusion_pytorch_model" if isinstance(self.model, ModelMixin) else "model"

    def write_config(self, folder: Path) -> None:
        """Write its config.json."""
        if isinstance(self.model, ModelMixin):
            self.model.save_config(folder)
        else:
            self.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]


def vae_part(place: str) -> Part:
    """The VAE in a folder or on the hub, its weights kept in the precision that they have."""
    folder = find_part(place, "vae")
    kind = json.loads((folder / "config.json").read_text("utf-8")).get("_class_name")
    if kind not in VAES:
        raise ValueError(
            f"{folder} holds a {kind}; expected a VAE in the form of diffusers, one of "
            f"{', '.join(VAES)}"
        )
    with torch.device("meta"):
        model = VAES[kind].from_config(VAES[kind].load_config(folder))
    source = SafetensorsSource(weight_files(folder))
    names = {name: _vae_name(name, source) for name in model.state_dict()}
    _refuse(folder, "have no use for", source.tensors.keys() - set(names.values()))
    return Part(model=model, source=_fitting(folder, source, names, model))


def text_encoder_part(place: str, *, dtype: torch.dtype | None) -> Part:
    """The text encoder in a folder or on the hub; a decoder beside it is left out."""
    folder = find_part(place, "text_encoder")
    model = text_encoder_on_meta(folder)
    source = SafetensorsSource(weight_files(folder))
    names = {name: name for name in model.state_dict()}
    return Part(model=model, source=_fitting(folder, source, names, model), dtype=dtype)


def find_tokenizer(place: str) -> Tokenizer:
    """The tokenizer in a folder or on the hub."""
    marks = ("tokenizer_config.json", "tokenizer.json", "spiece.model")
    return load_tokenizer(find_part(place, "tokenizer", marks=marks))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors in a component's folder: those that its index names, or the only one."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    names = {
        name
        for path in indices
        for name in json.loads(path.read_text("utf-8"))["weight_map"].values()
    }
    files = [folder / name for name in sorted(names)] or sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"{folder} holds no weights as safetensors; load it once with its library and save it "
            "again with save_pretrained"
        )
    return files


def _vae_name(name: str, source: TensorSource) -> str:
    """The name in its files of a VAE's parameter: its own, or the one of old."""
    old = name
    for ours, theirs in OLD_NAMES.items():
        old = old.replace(f".{ours}.", f".{theirs}.")
    return old if old in source.tensors else name


def _fitting(
    folder: Path, source: TensorSource, names: Mapping[str, str], model: nn.Module
) -> TensorSource:
    """The model's weights by its own names, once none is missing (but another's twin) or has
    another shape."""
    wanted = model.state_dict(keep_vars=True)
    there = {new: old for new, old in names.items() if old in source.tensors}
    known = {id(wanted[name]) for name in there}
    _refuse(folder, "lack", {name for name in wanted if id(wanted[name]) not in known})
    shapes = {new: source.tensors[old].shape for new, old in there.items()}
    _refuse(
        folder,
        "have another shape for",
        {name for name, shape in shapes.items() if shape != wanted[name].shape},
    )
    return Renamed(source, there)


def _refuse(folder: Path, problem: str, names: AbstractSet[str]) -> None:
    """A `ValueError` if there are such names."""
    if names:
        first, *others = sorted(names)
        more = f" and {len(others)} more" if others else ""
        raise ValueError(
            f"the weights in {folder} do not fit its config.json: they {problem} {first}{more}"
        )
