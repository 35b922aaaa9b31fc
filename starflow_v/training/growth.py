"""A larger network that computes what a smaller one does: the curriculum's way to go on.

A run that begins with the weights of a smaller model should begin with its function too, and yet
be able to learn with all that is new. So what is new reads with random weights and writes nothing:

- a new layer adds zero to its input, a new shallow block is the identity (in pairs, so that all
  blocks keep their orders), a new head and a new hidden unit have zero output weights.
- a wider residual stream holds y = A x, where A (D', D) keeps what the norms see:

      AᵀA = s² I  with  s² = D'/D,        A 1 = 1.

  A keeps mean and mean square, so LayerNorm(A x) = A LayerNorm(x) and the same for RMSNorm, their
  epsilons included (without gain and bias, which move into the weights that read). Whatever
  writes to the stream writes A W; whatever reads it reads W Aᵀ/s² + R (I - A Aᵀ/s²), with random R:
  nothing is there at first, but what comes to be there is heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.block import FlowBlock
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.nn.layers import RMSNorm
from starflow_v.nn.transformer import TransformerLayer


@torch.no_grad()
def grow_flow(small: StarFlowModel, large: StarFlowModel) -> None:
    """Give `large`, freshly made, the function of `small`.

    Raises:
        ValueError: if `large` has fewer or narrower layers somewhere, or an odd number of new
            shallow blocks.
    """
    sizes = ("shallow_width", "deep_width", "shallow_layers", "deep_layers")
    _check(small, large, sizes)
    _grow_network(small.deep.block, large.deep.block)
    old, new = (cast(Sequence[FlowBlock], flow.shallow.blocks) for flow in (small, large))
    for before, after in zip(old, new, strict=False):
        _grow_network(before, after)


@torch.no_grad()
def grow_denoiser(small: CausalDenoiser, large: CausalDenoiser) -> None:
    """Give `large`, freshly made, the function of `small`.

    Raises:
        ValueError: if `large` has fewer or narrower layers.
    """
    _check(small, large, ("width", "layers"))
    _grow_network(small, large)


def _check(
    small: StarFlowModel | CausalDenoiser,
    large: StarFlowModel | CausalDenoiser,
    sizes: Sequence[str],
) -> None:
    """Refuse what is no growth, with both shapes; what is no size must stay."""
    old, new = (_arguments(model) for model in (small, large))
    refused = [key for key in old if key not in sizes and old[key] != new[key]]
    refused += [key for key in sizes if not _holds(new[key], old[key])]
    if refused:
        raise ValueError(
            f"a {type(small).__name__} of {_shape(old)} cannot become one of {_shape(new)}: "
            f"{', '.join(refused)} would have to stay, or to grow (shallow blocks by pairs)"
        )


def _arguments(model: StarFlowModel | CausalDenoiser) -> dict[str, Any]:
    return {key: value for key, value in model.config.items() if not key.startswith("_")}


def _holds(large: Any, small: Any) -> bool:
    """Whether a size is enough: no layer less, new blocks behind the old ones and by pairs."""
    if isinstance(small, int):
        return bool(large >= small)
    more = len(large) - len(small)
    return more >= 0 and more % 2 == 0 and all(a >= b for a, b in zip(large, small, strict=False))


def _shape(sizes: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sizes.items())


def _grow_network(small: FlowBlock | CausalDenoiser, large: FlowBlock | CausalDenoiser) -> None:
    """A stack of layers with what is before and behind it."""
    if small.input.out_features == large.input.out_features:
        large.load_state_dict(small.state_dict(), strict=False)  # only new layers are not in it
    else:
        _widen_network(small, large)
    for layer in _layers(large)[len(_layers(small)) :]:
        _silence(layer.attention.proj)
        _silence(layer.mlp.down)


def _layers(network: FlowBlock | CausalDenoiser) -> Sequence[TransformerLayer]:
    return cast(Sequence[TransformerLayer], network.transformer.layers)


def _silence(linear: nn.Linear) -> None:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


def _widen_network(small: FlowBlock | CausalDenoiser, large: FlowBlock | CausalDenoiser) -> None:
    spread = _spread(small.input.out_features, large.input.out_features).to(large.input.weight)
    if isinstance(small, FlowBlock) and isinstance(large, FlowBlock):
        large.start.copy_(small.start)
    _write(small.input, large.input, spread)
    if small.text_input is not None and large.text_input is not None:
        _write(small.text_input, large.text_input, spread)
    for old, new in zip(_layers(small), _layers(large), strict=False):
        _read(old.attention.norm, old.attention.qkv, new.attention.qkv, spread, parts=3)
        _write(old.attention.proj, new.attention.proj, spread)
        _read(old.mlp.norm, old.mlp.up, new.mlp.up, spread)
        _write(old.mlp.down, new.mlp.down, spread)
    _read(small.norm, small.output, large.output, spread)


def _spread(small: int, large: int) -> Tensor:
    """A, (D', D): old features keep their places, the new ones hold the mean of the old ones."""
    scale = (large / small) ** 0.5
    spread = torch.full((large, small), 1 / small, dtype=torch.float64)
    spread[:small] *= 1 - scale
    spread[:small] += scale * torch.eye(small, dtype=spread.dtype)
    return spread


def _write(small: nn.Linear, large: nn.Linear, spread: Tensor) -> None:
    """What adds to the stream writes A W, and nothing of inputs that are new."""
    nn.init.zeros_(large.weight)
    large.weight[:, : small.in_features] = spread @ small.weight.to(spread)
    large.bias.copy_(spread @ small.bias.to(spread))


def _read(
    norm: nn.LayerNorm | RMSNorm,
    small: nn.Linear,
    large: nn.Linear,
    spread: Tensor,
    *,
    parts: int = 1,
) -> None:
    """What reads the normed stream: W Aᵀ/s², with the norm's gain and bias in W, beside R.

    R are the random weights that `large` has. Outputs that are new have nothing else; there are
    `parts` kinds of outputs (queries, keys, values), which grow each by itself.
    """
    back = spread.T * (spread.shape[1] / spread.shape[0])
    gain, shift = (it.to(spread) for it in _gain_and_bias(norm))
    weight, bias = small.weight.to(spread), small.bias.to(spread)
    large.weight -= large.weight @ spread @ back
    rows = large.weight.unflatten(0, (parts, -1))
    rows[:, : small.out_features // parts] += (weight * gain @ back).unflatten(0, (parts, -1))
    offsets = large.bias.unflatten(0, (parts, -1))
    offsets[:, : small.out_features // parts] = (bias + weight @ shift).unflatten(0, (parts, -1))


def _gain_and_bias(norm: nn.LayerNorm | RMSNorm) -> tuple[Tensor, Tensor]:
    if isinstance(norm, RMSNorm):
        return 1 + norm.weight, torch.zeros_like(norm.weight)
    return norm.weight, norm.bias
