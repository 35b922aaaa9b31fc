"""The layout of the released STARFlow and STARFlow-V checkpoints.

A table of names and nothing more. Every key of a released state dict is the name of one of our
parameters, or of a buffer that carries no weights and is dropped; any other key is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel

DEAD_BUFFERS = re.compile(
    r"(blocks\.\d+\.|learnable_self_denoiser\.)attn_mask|var|feat_rope\.freqs_(cos|sin)"
)
"""Keys of a released checkpoint that carry no weights."""

_NAMES = {
    "start": "sos_embed",
    "input": "proj_in",
    "text_input": "proj_txt",
    "output": "proj_out",
    "norm": "final_norm",
    "transformer.layers": "attn_blocks",
}
"""The parts of a block and of the denoiser: our name, the released one."""

_LAYER_NAMES = {"mlp.up": "mlp.main.0", "mlp.down": "mlp.main.2"}
"""The same for what differs inside a transformer layer."""

_FIXED: dict[str, object] = {
    "rope": True,
    "sos": True,
    "cond_top_only": True,
    "use_softplus": True,
    "use_final_norm": True,
    "use_bias": True,
    "seq_order": "L2R",
}
"""Arguments that would mean another architecture if they had another value."""

_FIXED_IN_VIDEO: dict[str, object] = {"temporal_causal": 2, "shallow_block_local": True}
"""The same where there is more than one frame: an image model has `temporal_causal` 0."""

_OFF: dict[str, object] = {
    "hf_style_rope": False,
    "norm_type": "layer_norm",
    "num_heads": None,
    "num_kv_heads": None,
    "use_qk_norm": False,
    "use_post_norm": False,
    "use_swiglu": False,
    "use_mm_attn": False,
    "use_pretrained_lm": None,
    "local_attn_window": None,
    "noise_embed_denoiser": False,
}
"""Options that no released checkpoint uses, and their defaults; 0 and null mean the default."""

_REQUIRED = (
    "in_channels",
    "patch_size",
    "channels",
    "num_blocks",
    "layers_per_block",
    "head_dim",
    "soft_clip",
)
"""Arguments without which there is no model."""

_EVERY_FRAME = 10_000
"""The denoiser's window where the arguments say null."""


def convert_released(
    state_dict: Mapping[str, Tensor], arguments: Mapping[str, Any]
) -> tuple[StarFlowModel, CausalDenoiser | None]:
    """Build the models of a released checkpoint.

    Args:
        state_dict: the released parameters, by their released names; they are used as they are,
            without a copy.
        arguments: the released model's arguments (`in_channels`, `layers_per_block`, ...).

    Returns:
        The flow, and the denoiser if the checkpoint has one.

    Raises:
        ValueError: if a key is missing or surplus, a shape differs, or an argument is missing or
            asks for an architecture that was never released.
    """
    flow, denoiser = released_models(arguments)
    tables = [(flow, flow_names(flow))]
    if denoiser is not None:
        tables.append((denoiser, denoiser_names(denoiser)))
    weights = {key: t for key, t in state_dict.items() if not DEAD_BUFFERS.fullmatch(key)}
    _check_keys(weights, tables)
    for model, names in tables:
        own = {ours: weights[theirs] for ours, theirs in names.items()}
        model.load_state_dict(own, strict=True, assign=True)
        model.requires_grad_(True)
        model.eval()
    return flow, denoiser


def released_models(arguments: Mapping[str, Any]) -> tuple[StarFlowModel, CausalDenoiser | None]:
    """The models that a released checkpoint's arguments describe, without memory (on meta)."""
    _check_arguments(arguments)
    width, layers = arguments["channels"], _layers(arguments)
    text_dim = arguments["txt_dim"] or None
    shared = {
        "in_channels": arguments["in_channels"],
        "patch_size": arguments["patch_size"],
        "head_dim": arguments["head_dim"],
        "reference_size": float(_reference_size(arguments)),
    }
    with torch.device("meta"):
        flow = StarFlowModel(
            **shared,
            shallow_width=width,
            deep_width=arguments.get("top_block_channels") or width,
            shallow_layers=layers[:-1],
            deep_layers=layers[-1],
            text_dim=text_dim,
            soft_clip=float(arguments["soft_clip"]),
        )
        if not arguments.get("learnable_self_denoiser"):
            return flow, None
        denoiser = CausalDenoiser(
            **shared,
            width=width,
            text_dim=text_dim if arguments.get("conditional_denoiser") else None,
            window=arguments["denoiser_window"] or _EVERY_FRAME,
        )
    return flow, denoiser


def flow_names(flow: StarFlowModel) -> dict[str, str]:
    """Our name of every parameter of a flow -> its released name."""
    deep = len(flow.shallow.blocks)
    names = {}
    for key in flow.state_dict():
        shallow = re.fullmatch(r"shallow\.blocks\.(\d+)\.(.*)", key)
        index, rest = shallow.groups() if shallow else (deep, key.removeprefix("deep.block."))
        names[key] = f"blocks.{index}.{_released(rest)}"
    return names


def denoiser_names(denoiser: CausalDenoiser) -> dict[str, str]:
    """Our name of every parameter of a denoiser -> its released name."""
    return {key: f"learnable_self_denoiser.{_released(key)}" for key in denoiser.state_dict()}


def _released(name: str) -> str:
    """The released name of a parameter inside a block or the denoiser."""
    for ours, theirs in _NAMES.items():
        if name == ours or name.startswith(f"{ours}."):
            name = theirs + name.removeprefix(ours)
            break
    for ours, theirs in _LAYER_NAMES.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    _check_text(arguments)
    needed = [*_REQUIRED, "txt_dim"]
    needed += [] if arguments.get("pt_seq_len") else ["img_size"]
    needed += ["denoiser_window"] if arguments.get("learnable_self_denoiser") else []
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise ValueError(f"the released model's arguments lack {', '.join(missing)}")
    image = not arguments.get("temporal_causal", True)
    for name, value in (_FIXED if image else _FIXED | _FIXED_IN_VIDEO).items():
        _check_argument(name, arguments.get(name, value), value)
    for name, value in _OFF.items():
        _check_argument(name, arguments.get(name) or value, value)


def _check_argument(name: str, got: object, expected: object) -> None:
    if got != expected:
        raise ValueError(
            f"{name}={got!r} is not supported: no released checkpoint has it; expected {expected!r}"
        )


def _check_text(arguments: Mapping[str, Any]) -> None:
    if not arguments.get("txt_size"):
        raise ValueError(
            "a released model without text (txt_size missing or 0) cannot be converted: its rotary "
            "positions have two axes, row and column, where those of this layout have a third one"
        )


def _reference_size(arguments: Mapping[str, Any]) -> int:
    """R of the rotary positions: the side, in tokens, of what the model was first trained on."""
    return arguments.get("pt_seq_len") or arguments["img_size"] // arguments["patch_size"]


def _layers(arguments: Mapping[str, Any]) -> list[int]:
    """The layers of each block; a single number counts for all blocks."""
    layers, blocks = list(arguments["layers_per_block"]), arguments["num_blocks"]
    if len(layers) not in (1, blocks):
        raise ValueError(
            f"layers_per_block={layers} does not fit num_blocks={blocks}: give one number for each "
            "block, or a single one for all"
        )
    return layers * (blocks // len(layers))


def _check_keys(
    got: Mapping[str, Tensor], tables: Sequence[tuple[nn.Module, dict[str, str]]]
) -> None:
    wanted = {
        names[key]: tensor.shape
        for model, names in tables
        for key, tensor in model.state_dict().items()
    }
    problems = [*_listed("missing", wanted.keys() - got), *_listed("surplus", got.keys() - wanted)]
    for key in sorted(got.keys() & wanted):
        if got[key].shape != wanted[key]:
            shapes = f"{tuple(got[key].shape)}, expected {tuple(wanted[key])}"
            problems.append(f"{key} has shape {shapes}")
    if problems:
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ValueError(
            f"the checkpoint does not fit its arguments: {'; '.join(problems[:8])}{more}"
        )


def _listed(kind: str, keys: Iterable[str]) -> list[str]:
    return [f"{kind} key {key}" for key in sorted(keys)]
