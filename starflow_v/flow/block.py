"""One block: a causal transformer that predicts the affine parameters of the next tokens.

Slot j of the sequence reads the token one group before it (a learned start token in the first
group) and predicts token j. With groups of one token this is TARFlow's block; with a whole frame as
a group it is causal over frames and full inside each. Text, where a block has it, stands in front.
"""

from __future__ import annotations

import torch
from einops import repeat
from torch import Tensor, nn

from starflow_v.flow.affine import AffineParams
from starflow_v.nn.attention import FULL, Mask, causal, group_causal
from starflow_v.nn.cache import SequenceCache
from starflow_v.nn.layers import RMSNorm, soft_clip, widen
from starflow_v.nn.rope import Rotary
from starflow_v.nn.transformer import Transformer


class FlowBlock(nn.Module):
    """A block over sequences of tokens in the block's own order.

    Args:
        channels: C, channels of a token.
        width: D, width of the transformer.
        layers: number of transformer layers.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings in front; `None` for a block without text.
        limit: the raw output is clipped softly to (-limit, limit).
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        layers: int,
        head_dim: int,
        text_dim: int | None = None,
        limit: float = 4.0,
    ) -> None:
        super().__init__()
        if not limit > 0:
            raise ValueError(f"soft_clip={limit} is not valid: give a number above 0")
        self.channels = channels
        self.head_dim = head_dim
        self.limit = limit
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, channels))
        self.input = nn.Linear(channels, width)
        self.text_input = None if text_dim is None else nn.Linear(text_dim, width)
        self.transformer = Transformer(width, layers=layers, head_dim=head_dim)
        self.norm = RMSNorm(width)
        self.output = nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return len(self.transformer.layers)

    def forward(
        self,
        tokens: Tensor,
        rotary: Rotary,
        *,
        count: int,
        group: int = 1,
        text: Tensor | None = None,
        cache: SequenceCache | None = None,
        begins: bool = True,
    ) -> AffineParams:
        """Parameters of `count` tokens, (B, count, C).

        Args:
            tokens: the tokens one group before those asked for: (B, count - group, C) if the
                sequence begins here (the start token fills the first group), else (B, count, C).
            rotary: positions of the slots of this pass, text included.
            count: how many tokens are asked for, a whole number of groups (0: read the text only).
            group: tokens that are predicted together.
            text: embeddings (B, L, E) in front, if they are not in the cache yet.
            cache: keys and values of the slots before.
            begins: whether the first token asked for is the first of the sequence.
        """
        tokens = tokens.to(self.start)
        if begins:
            start = repeat(self.start, "1 1 c -> b g c", b=tokens.shape[0], g=group)
            tokens = torch.cat((start, tokens), dim=1)
        hidden = self.input(tokens)
        length = 0
        if text is not None:
            assert self.text_input is not None, "this block takes no text"
            length = text.shape[1]
            hidden = torch.cat((self.text_input(text.to(self.start)), hidden), dim=1)
        past = 0 if cache is None else cache.length
        mask = _mask(past, length, count, group, hidden.device)
        hidden = self.transformer(hidden, rotary, mask, cache)[:, length:]
        raw = widen(self.output(self.norm(hidden)))
        return AffineParams.from_raw(soft_clip(raw, self.limit))


def _mask(past: int, text: int, count: int, group: int, device: torch.device) -> Mask:
    """Causal between groups, full inside them; every text slot is a group of its own."""
    if text == 0 and count == group:
        return FULL
    if group == 1 or count == 0:
        return causal(past, text + count, device)
    words = torch.arange(1 - text, 1, device=device)
    queries = torch.cat((words, 1 + torch.arange(count, device=device) // group))
    return group_causal(queries, torch.cat((queries.new_full((past,), -text), queries)))
