"""The transformer that every block and the denoiser are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from starflow_v.nn.attention import FULL, Mask, SelfAttention
from starflow_v.nn.cache import LayerCache, SequenceCache
from starflow_v.nn.layers import MLP
from starflow_v.nn.rope import Rotary


class TransformerLayer(nn.Module):
    """Attention, then a feed-forward network, both pre-normalised with residuals."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, head_dim)
        self.mlp = MLP(width)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Mask = FULL, cache: LayerCache | None = None
    ) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        return self.mlp(self.attention(x, rotary, mask, cache))


class Transformer(nn.Module):
    """A stack of layers.

    With `recompute` set, the backward pass computes the activations inside each layer again instead
    of keeping them (passes with a cache are for sampling and do not).
    """

    def __init__(self, width: int, *, layers: int, head_dim: int) -> None:
        super().__init__()
        self.recompute = False
        self.layers = nn.ModuleList(TransformerLayer(width, head_dim) for _ in range(layers))

    def forward(
        self,
        x: Tensor,
        rotary: Rotary,
        masks: Mask | Sequence[Mask] = FULL,
        cache: SequenceCache | None = None,
    ) -> Tensor:
        """(B, S, D) -> (B, S, D); one mask for all layers, or one for each."""
        per_layer = [masks] * len(self.layers) if isinstance(masks, Mask) else masks
        recompute = self.recompute and cache is None and torch.is_grad_enabled()
        for index, (layer, mask) in enumerate(zip(self.layers, per_layer, strict=True)):
            if recompute:
                x = checkpoint(layer, x, rotary, mask, use_reentrant=False)
            else:
                x = layer(x, rotary, mask, None if cache is None else cache.layer(index))
        return x


def set_recompute(model: nn.Module, enabled: bool) -> None:
    """Set `recompute` in every transformer of a model."""
    for module in model.modules():
        if isinstance(module, Transformer):
            module.recompute = enabled
