"""How far a reconstruction is from its clip: the codec's loss and the PSNR it is judged by.

    loss = mean(l) + e · mean over detail(l),      l = |d| + q d²,      d = reconstruction - frames

|d| makes edges sharp, d² is what PSNR measures. Flat areas are most of a picture and soon learnt;
the second term turns to the edges of things, which tell a star from a circle. Its mean is taken in
each clip, so that the few pixels of a small thing count as much as the many of a big one.

`pyramid_loss` stands in for a perceptual loss by a pretrained network (LPIPS), which would have to
be downloaded: what lies between one scale of a picture and the next, a Laplacian pyramid, each
scale counting alike. It is as sensitive to texture and sharpness, but knows nothing of objects.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

DETAIL_STEP = 0.15
"""Neighbouring pixels that differ by more than this, in [-1,1], are detail."""


def detail_mask(frames: Tensor, *, radius: int = 2) -> Tensor:
    """1 within `radius` pixels of an edge, else 0; frames (B,F,3,H,W) -> (B,F,1,H,W)."""
    images = rearrange(frames, "b f c h w -> (b f) c h w")
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().amax(1, keepdim=True)
    right = (images[..., :, 1:] - images[..., :, :-1]).abs().amax(1, keepdim=True)
    steps = torch.maximum(F.pad(down, (0, 0, 0, 1)), F.pad(right, (0, 1, 0, 0)))
    edges = (steps > DETAIL_STEP).to(frames.dtype)
    wide = F.max_pool2d(edges, 2 * radius + 1, stride=1, padding=radius)
    return rearrange(wide, "(b f) c h w -> b f c h w", b=frames.shape[0])


def reconstruction_loss(
    reconstruction: Tensor, frames: Tensor, *, square: float = 2.0, detail: float = 1.0
) -> Tensor:
    """The equation above with q = `square` and e = `detail`; both (B,F,3,H,W)."""
    difference = (reconstruction.float() - frames).abs()
    error = (difference + square * difference.square()).mean(2, keepdim=True)
    mask = detail_mask(frames)
    near = (mask * error).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp_min(1)
    return error.mean() + detail * near.mean()


def pyramid_loss(reconstruction: Tensor, frames: Tensor, *, scales: int = 4) -> Tensor:
    """Σ over scales of mean |L_k(reconstruction) - L_k(frames)|, L_k = what halving k+1 times
    loses of halving k times; both (B,F,3,H,W). A scale that is one pixel wide is the last."""
    rest = rearrange(reconstruction.float() - frames, "b f c h w -> (b f) c h w")
    loss = rest.new_zeros(())
    for _ in range(scales):
        if min(rest.shape[-2:]) < 2:
            break
        half = F.avg_pool2d(rest, 2)
        back = F.interpolate(half, size=rest.shape[-2:], mode="bilinear", align_corners=False)
        loss = loss + (rest - back).abs().mean()
        rest = half
    return loss + rest.abs().mean()


def psnr(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Peak signal to noise ratio of each clip in dB, (B,); frames (B,F,3,H,W) in [-1,1], so the
    peak is 2."""
    mean_square = (reconstruction.float().clamp(-1, 1) - frames.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / mean_square.clamp_min(1e-10))
