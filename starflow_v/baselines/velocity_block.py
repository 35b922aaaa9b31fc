"""The transformer of a causal velocity: text in front, then frames, each with a time of its own."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from starflow_v.baselines.time_embedding import TimeEmbedding
from starflow_v.nn.attention import FULL, Mask
from starflow_v.nn.cache import SequenceCache
from starflow_v.nn.layers import RMSNorm, widen
from starflow_v.nn.rope import Rotary
from starflow_v.nn.transformer import Transformer


class VelocityBlock(nn.Module):
    """Tokens of frames at their times -> the velocity of each token.

    Args:
        channels: C, channels of a token.
        width: D, width of the transformer.
        layers: number of transformer layers.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings in front; `None` for a network without text.
    """

    def __init__(
        self, channels: int, width: int, *, layers: int, head_dim: int, text_dim: int | None
    ) -> None:
        super().__init__()
        self.channels = channels
        self.head_dim = head_dim
        self.input = nn.Linear(channels, width)
        self.time = TimeEmbedding(width)
        self.text_input = None if text_dim is None else nn.Linear(text_dim, width)
        self.transformer = Transformer(width, layers=layers, head_dim=head_dim)
        self.norm = RMSNorm(width)
        self.output = nn.Linear(width, channels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return len(self.transformer.layers)

    def forward(
        self,
        frames: Tensor,
        times: Tensor,
        rotary: Rotary,
        *,
        mask: Mask = FULL,
        text: Tensor | None = None,
        cache: SequenceCache | None = None,
    ) -> Tensor:
        """frames (B, K, N, C) at times (B, K) -> velocities (B, K, N, C), float32 or better.

        Args:
            frames: tokens of K frames (0: read the text only).
            times: t of each frame; 1 is a clean one.
            rotary: positions of the slots of this pass, text included.
            mask: who attends to whom, text included.
            text: embeddings (B, L, E) in front, if they are not in the cache yet.
            cache: keys and values of the slots before.
        """
        count = frames.shape[1]
        dtype = self.norm.weight.dtype
        told = self.input(frames.to(dtype)) + self.time(times)[:, :, None]
        hidden = rearrange(told, "b k n d -> b (k n) d")
        length = 0
        if text is not None:
            assert self.text_input is not None, "this network takes no text"
            length = text.shape[1]
            hidden = torch.cat((self.text_input(text.to(dtype)), hidden), dim=1)
        hidden = self.transformer(hidden, rotary, mask, cache)[:, length:]
        velocity = widen(self.output(self.norm(hidden)))
        return velocity.unflatten(1, (count, frames.shape[2]))


def teacher_forcing(text: int, frames: int, tokens: int, device: torch.device) -> Mask:
    """The mask of a sequence of text, frames-1 clean frames and `frames` noisy ones.

    Text attends to text; clean frame s to text and to clean frames up to s; noisy frame t to text,
    to clean frames before t and to itself.
    """
    index = torch.arange(frames, device=device)
    frame = torch.cat((index[:-1], index)).repeat_interleave(tokens)
    noisy = torch.arange(len(frame), device=device) >= (frames - 1) * tokens
    frame = torch.cat((frame.new_full((text,), -1), frame))
    noisy = torch.cat((noisy.new_zeros(text), noisy))
    past = ~noisy & (frame < frame[:, None])
    own = (noisy == noisy[:, None]) & (frame == frame[:, None])
    return Mask.only(past | own)
