"""Self-attention, and who attends to whom."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

from starflow_v.nn.cache import LayerCache
from starflow_v.nn.rope import Rotary, space_pairs


class Mask(NamedTuple):
    """Which keys each query attends to: all of them, the causal triangle, or as a `bias` says.

    `causal` needs no tensor: the last query attends to all keys, each one before it to one fewer.
    `bias` (queries, keys) is added to the logits: 0, or minus infinity for keys that are not
    attended to. (Attention makes such numbers of a mask of bool, in every layer anew.)
    """

    bias: Tensor | None = None
    causal: bool = False

    @classmethod
    def only(cls, allowed: Tensor) -> Mask:
        """Those that are `allowed`, (queries, keys), bool."""
        return cls(
            bias=torch.zeros(allowed.shape, device=allowed.device).masked_fill_(
                ~allowed, -torch.inf
            )
        )


EXPLICIT_LIMIT = 1024
"""Longest sequence whose attention matrix is written out, see `attend`."""

FULL = Mask()
CAUSAL = Mask(causal=True)


def causal(past: int, count: int, device: torch.device) -> Mask:
    """Each of `count` slots attends to the `past` slots before them, to earlier ones and itself.

    CUDA has a kernel for it. Others have one only without a past; there the tensor is made here,
    once for all layers.
    """
    if count == 1:
        return FULL
    if past == 0 or device.type == "cuda":
        return CAUSAL
    return Mask(bias=torch.full((count, past + count), -torch.inf, device=device).triu_(past + 1))


def group_causal(queries: Tensor, keys: Tensor) -> Mask:
    """Each query attends to the keys of its own and of earlier groups.

    Args:
        queries: group number of each query, (S_q,).
        keys: group number of each key, (S_k,).
    """
    return Mask.only(keys <= queries[:, None])


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Softmax attention: q (B, heads, S_q, d), k and v (B, heads, S_k, d) -> as q.

    In training on a CPU short sequences are much faster written out than fused, since the fused
    backward pass is made of tiny products there.
    """
    if q.requires_grad and q.device.type == "cpu" and k.shape[-2] <= EXPLICIT_LIMIT:
        return _attend_explicitly(q, k, v, mask)
    queries, keys = q.shape[-2], k.shape[-2]
    if mask.causal and queries < keys:
        triangle = causal_lower_right(queries, keys)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=triangle)
    bias = None if mask.bias is None else mask.bias.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=mask.causal)


def _attend_explicitly(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Products over (B heads); mask and scale cost no pass of their own over the logits."""
    queries, keys = q.shape[-2], k.shape[-2]
    if mask.causal:
        bias = q.new_full((queries, keys), -torch.inf).triu_(keys - queries + 1)
    elif mask.bias is not None:
        bias = mask.bias.to(q.dtype)
    else:
        bias = q.new_zeros(queries, keys)
    logits = torch.baddbmm(bias, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=q.shape[-1] ** -0.5)
    mixed = logits.softmax(-1).to(v.dtype) @ v.flatten(0, 1)
    return mixed.unflatten(0, q.shape[:2])


class InnerAttention(nn.Module):
    """The part of attention in which tokens meet. It has no parameters, but is a module: hooks can
    share it out (see `starflow_v.parallel`)."""

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rotary: Rotary,
        mask: Mask = FULL,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """q, k, v (B, heads, S, d) -> (B, heads, S, d)."""
        q, k = rotary.rotate(q), rotary.rotate_keys(k)
        if cache is not None:
            k, v = cache.extend(k, v)
        return attend(q, k.to(q.dtype), v.to(q.dtype), mask)


class SelfAttention(nn.Module):
    """Pre-normalised multi-head self-attention with rotary positions and a residual."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        if width % head_dim:
            raise ValueError(f"width={width} is not a multiple of head_dim={head_dim}")
        space_pairs(head_dim)  # refuses a head that rotary positions do not fit
        self.heads = width // head_dim
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, 3 * width)
        self.inner = InnerAttention()
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Mask = FULL, cache: LayerCache | None = None
    ) -> Tensor:
        """(B, S, D) -> (B, S, D); with a cache the keys of earlier calls stand in front."""
        q, k, v = rearrange(
            self.qkv(self.norm(x)), "b s (three n d) -> three b n s d", three=3, n=self.heads
        )
        mixed = self.inner(q, k, v, rotary, mask, cache)
        return x + self.proj(rearrange(mixed, "b n s d -> b s (n d)"))
