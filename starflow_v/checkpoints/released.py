"""Released state dicts <-> our models, in memory.

    flow, denoiser = convert_released(state_dict, arguments)
    state_dict = export_released(flow, denoiser)

The names are in `names`, the arguments in `arguments`; `folder` converts what does not fit in
memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from starflow_v.checkpoints.arguments import released_models
from starflow_v.checkpoints.names import DEAD_BUFFERS, denoiser_names, flow_names, names_of
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel

__all__ = [
    "DEAD_BUFFERS",
    "check_keys",
    "convert_released",
    "denoiser_names",
    "export_released",
    "flow_names",
    "released_models",
]

SHOWN = 4
"""How many problems of each kind are listed."""


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
    models = [model for model in (flow, denoiser) if model is not None]
    check_keys(state_dict, models)
    for model in models:
        own = {ours: state_dict[theirs] for ours, theirs in names_of(model).items()}
        model.load_state_dict(own, strict=True, assign=True)
        model.requires_grad_(True)
        model.eval()
    return flow, denoiser


def export_released(
    flow: StarFlowModel | None, denoiser: CausalDenoiser | None = None
) -> dict[str, Tensor]:
    """The parameters of our models under their released names, on the CPU.

    The inverse of `convert_released`, up to the dead buffers, which the released code makes anew.
    Tensors that are on the CPU already are not copied.

    Args:
        flow: the flow; `None` for the denoiser alone.
        denoiser: the denoiser; `None` for the flow alone.

    Raises:
        ValueError: if there is no model, or the released code would compute something else with
            the same parameters (groups of tokens, a model without text).
    """
    models = [model for model in (flow, denoiser) if model is not None]
    if not models:
        raise ValueError("there is nothing to export: give a flow, a denoiser, or both")
    if flow is not None:
        _refuse_other_flows(flow)
    if denoiser is not None:
        _warn_of_other_denoisers(denoiser)
    return {
        theirs: weights[ours].detach().cpu()
        for model, weights in ((model, model.state_dict()) for model in models)
        for ours, theirs in names_of(model).items()
    }


def check_keys(got: Mapping[str, Tensor], models: Sequence[StarFlowModel | CausalDenoiser]) -> None:
    """Refuse a checkpoint whose keys and shapes are not exactly those of the models.

    Args:
        got: tensors by their released names; those on meta do. Dead buffers are not looked at.
        models: the models that the checkpoint is for; those on meta do.
    """
    wanted = {
        theirs: tuple(weights[ours].shape)
        for model, weights in ((model, model.state_dict()) for model in models)
        for ours, theirs in names_of(model).items()
    }
    given = {
        key: tuple(tensor.shape) for key, tensor in got.items() if not DEAD_BUFFERS.fullmatch(key)
    }
    missing = [
        f"missing key {key}: the file has none, the model {shape}"
        for key, shape in sorted(wanted.items())
        if key not in given
    ]
    surplus = [
        f"surplus key {key}: the file has {shape}, the model none"
        for key, shape in sorted(given.items())
        if key not in wanted
    ]
    other = [
        f"other shape of {key}: the file has {given[key]}, the model {wanted[key]}"
        for key in sorted(given.keys() & wanted)
        if given[key] != wanted[key]
    ]
    shown = [problem for kind in (missing, surplus, other) for problem in kind[:SHOWN]]
    if shown:
        count = len(missing) + len(surplus) + len(other)
        shown += [f"and {count - len(shown)} more"] if count > len(shown) else []
        raise ValueError("\n  ".join(["the checkpoint does not fit its configuration:", *shown]))


def _refuse_other_flows(flow: StarFlowModel) -> None:
    for name in ("shallow_groups", "deep_groups"):
        if flow.config[name] is not None:
            raise ValueError(
                f"a flow with {name}={flow.config[name]} has no released layout: there every token "
                "is predicted by itself, and the same weights would mean another model"
            )
    for name in ("shallow_order", "deep_order"):
        if flow.config[name] != "raster":
            raise ValueError(
                f"a flow with {name}={flow.config[name]!r} has no released layout: there every "
                "block runs in raster order, and the same weights would mean another model"
            )
    if flow.config["text_dim"] is None:
        raise ValueError(
            "a flow without text has no released layout: its rotary positions have two axes there"
        )


def _warn_of_other_denoisers(denoiser: CausalDenoiser) -> None:
    layers = denoiser.config["layers"]
    if denoiser.lookahead != layers:
        warnings.warn(
            f"{denoiser.lookahead} of the denoiser's {layers} layers look ahead, in the released "
            "code all do: there it will clean a little differently",
            stacklevel=3,
        )
