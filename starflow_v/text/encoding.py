"""Captions -> embeddings. Shapes: B captions, L text length, D text width."""

import warnings
from collections.abc import Sequence
from typing import TypeAlias

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

Tokenizer: TypeAlias = PreTrainedTokenizerBase
"""Any tokenizer of transformers."""


def encode_captions(
    text_encoder: nn.Module,
    tokenizer: Tokenizer,
    captions: Sequence[str],
    *,
    max_length: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Embeddings (B,L,D) of `captions`, L = max_length; those of padding are zero.

    `text_encoder` is any module that takes (input_ids, attention_mask) and returns a
    `last_hidden_state`, and is given them on `device` (None: where its weights are). A caption
    longer than `max_length` tokens loses its end, with a warning.
    """
    ids, mask = tokenize(tokenizer, captions, max_length=max_length)
    device = device or next(text_encoder.parameters()).device
    return embed_tokens(text_encoder, ids.to(device), mask.to(device))


def tokenize(
    tokenizer: Tokenizer, captions: Sequence[str], *, max_length: int
) -> tuple[Tensor, Tensor]:
    """Token numbers and the mask of those that are not padding, both (B,L), L = max_length."""
    tokens = tokenizer(
        list(captions),
        padding="max_length",
        max_length=max_length,
        truncation=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask
    for caption, full in zip(captions, mask.bool().all(dim=1).tolist(), strict=True):
        if full:
            _warn_if_truncated(tokenizer, caption, max_length)
    return tokens.input_ids, mask


def embed_tokens(text_encoder: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Token numbers and mask (B,L) -> embeddings (B,L,D), those of padding zero."""
    hidden = text_encoder(ids, mask).last_hidden_state
    embeddings: Tensor = hidden * rearrange(mask, "B L -> B L 1").to(hidden)
    return embeddings


def _warn_if_truncated(tokenizer: Tokenizer, caption: str, max_length: int) -> None:
    length = len(tokenizer(caption, truncation=False, verbose=False).input_ids)
    if length > max_length:
        warnings.warn(
            f"the caption has {length} tokens and the model reads {max_length}: the end of "
            f"{caption!r} is cut off; use a shorter prompt",
            stacklevel=3,
        )
