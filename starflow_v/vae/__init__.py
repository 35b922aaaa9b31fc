"""The codec as a stream of frames: pixels to latents, all at once, and latents to pixels, as they
come.

    codec = codec_for(vae)
    latents = codec.encode(frames)     # (B,F,3,H,W) in [-1,1] -> (B,T,c,h,w), F = 1 + 4(T-1)
    for frames in codec.decode_stream(latents_as_they_come):
        ...                            # 1 pixel frame for the first latent frame, 4 for each later

Read `codec` for the interface, then `wan` for the causal VAE, `patch` for the linear one, `image`
for stills, `pixels` for none at all.
"""

from __future__ import annotations

from diffusers import AutoencoderKL, AutoencoderKLWan
from torch import nn

from starflow_v.vae.codec import Codec
from starflow_v.vae.image import ImageCodec
from starflow_v.vae.patch import PatchCodec, PatchStreamCodec
from starflow_v.vae.pixels import PixelCodec, PixelStreamCodec
from starflow_v.vae.wan import WanCodec

__all__ = [
    "Codec",
    "ImageCodec",
    "PatchCodec",
    "PatchStreamCodec",
    "PixelCodec",
    "PixelStreamCodec",
    "WanCodec",
    "codec_for",
]


def codec_for(vae: nn.Module, *, temporal_scale: float = 1.0) -> Codec:
    """The codec that knows how to run this VAE.

    `temporal_scale` multiplies every latent frame after the first: later latents describe four
    pixel frames and may have another spread than the first, which describes one.
    """
    if isinstance(vae, AutoencoderKLWan):
        return WanCodec(vae, temporal_scale=temporal_scale)
    if isinstance(vae, AutoencoderKL):
        return ImageCodec(vae, temporal_scale=temporal_scale)
    if isinstance(vae, PatchCodec):
        return PatchStreamCodec(vae, temporal_scale=temporal_scale)
    if isinstance(vae, PixelCodec):
        return PixelStreamCodec(vae, temporal_scale=temporal_scale)
    raise ValueError(
        f"no codec for a {type(vae).__name__}: expected an AutoencoderKLWan, an AutoencoderKL, a "
        "PatchCodec or a PixelCodec"
    )
