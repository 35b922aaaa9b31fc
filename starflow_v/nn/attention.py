"""Self-attention, and who attends to whom."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from starflow_v.nn.cache import LayerCache
from starflow_v.nn.rope import Rotary, space_pairs


class Mask(NamedTuple):
    """Which keys each query attends to: all of them, the causal triangle, or those `allowed`.

    `causal` is for as many queries as keys and needs no tensor; `allowed` is (queries, keys), bool.
    """

    allowed: Tensor | None = None
    causal: bool = False


EXPLICIT_LIMIT = 1024
"""Longest sequence whose attention matrix is written out, see `attend`."""

FULL = Mask()
CAUSAL = Mask(causal=True)


def group_causal(queries: Tensor, keys: Tensor) -> Mask:
    """Each query attends to the keys of its own and of earlier groups.

    Args:
        queries: group number of each query, (S_q,).
        keys: group number of each key, (S_k,).
    """
    return Mask(allowed=keys <= queries[:, None])


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Softmax attention: q (B, heads, S_q, d), k and v (B, heads, S_k, d) -> as q.

    In training on a CPU short sequences are three times faster written out than fused, since the
    fused backward pass is made of tiny products there.
    """
    if q.requires_grad and q.device.type == "cpu" and k.shape[-2] <= EXPLICIT_LIMIT:
        return _attend_explicitly(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.allowed, is_causal=mask.causal)


def _attend_explicitly(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    allowed = mask.allowed
    if mask.causal:
        allowed = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    return logits.softmax(-1).to(v.dtype) @ v


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
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Mask = FULL, cache: LayerCache | None = None
    ) -> Tensor:
        """(B, S, D) -> (B, S, D); with a cache the keys of earlier calls stand in front."""
        q, k, v = rearrange(
            self.qkv(self.norm(x)), "b s (three n d) -> three b n s d", three=3, n=self.heads
        )
        q, k = rotary.rotate(q), rotary.rotate(k)
        if cache is not None:
            k, v = cache.extend(k, v)
        mixed = attend(q, k.to(q.dtype), v.to(q.dtype), mask)
        return x + self.proj(rearrange(mixed, "b n s d -> b s (n d)"))
