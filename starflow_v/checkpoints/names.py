"""The names of the released STARFlow and STARFlow-V checkpoints.

A table and nothing more. Every key of a released state dict is the name of one of our parameters,
or of a buffer that carries no weights and is dropped.
"""

from __future__ import annotations

import re

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


def names_of(model: StarFlowModel | CausalDenoiser) -> dict[str, str]:
    """Our name of every parameter of a model -> its released name."""
    return flow_names(model) if isinstance(model, StarFlowModel) else denoiser_names(model)


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
