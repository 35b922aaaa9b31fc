"""Clips through the codec: latents as the flow sees each task.

video      the clip's latents, T frames
image      one frame
extend     a clip without its first latent frame, which is unlike all others
last       the last frame, encoded alone, then the clip
v2v        the source clip, then the target, encoded apart
v2v_start  the same of two frames each: what a pair of clips begins with
v2v_image  the same of one frame each
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from starflow_v.data.buckets import OF_PAIRS
from starflow_v.data.pixels import Clip, to_frames
from starflow_v.vae import Codec

BATCH = 16
"""Clips that go through the codec together."""


@torch.no_grad()
def encode_clips(
    codec: Codec, task: str, clips: Sequence[Clip], sources: Sequence[Clip] | None = None
) -> Tensor:
    """Latents (n,T,c,h,w), on the CPU, of clips of one size, joined as the task has them."""
    latents = _encode(codec, clips)
    if task == "extend":
        return latents[:, 1:]
    if task == "last":
        return torch.cat((_encode(codec, [clip[-1:] for clip in clips]), latents), dim=1)
    if task in OF_PAIRS:
        assert sources is not None
        return torch.cat((_encode(codec, sources), latents), dim=1)
    return latents


def _encode(codec: Codec, clips: Sequence[Clip]) -> Tensor:
    """Clips -> latents (n,T,c,h,w), a few at a time, where the VAE is."""
    device = next(codec.vae.parameters()).device
    batches = (clips[first : first + BATCH] for first in range(0, len(clips), BATCH))
    return torch.cat([codec.encode(to_frames(batch).to(device)).cpu() for batch in batches])
