"""A released model's arguments -> our models, without memory.

The arguments are those that the released code keeps beside its weights (`in_channels`,
`layers_per_block`, ...). What they may ask for is what was released; anything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel

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
