"""The causal video VAE of Wan, both forms: 2.1 (8x in space) and 2.2 (residual shortcuts, pixel
patches, 16x).

Every convolution in time looks back only. Encoder and decoder therefore run over a video in pieces
if each layer is given the last two frames that it saw: diffusers' modules take them as a list, one
entry a convolution, and replace its entries as they go. Here that list is allocated by the caller
for each video. (The VAE's own `decode` keeps it in the module, so two videos at a time would meet
in it.)

The first latent frame is a piece of its own: time is not upsampled for it, and the layers that
upsample time start from zeros after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, patchify, unpatchify
from einops import rearrange
from torch import Tensor, nn

from starflow_v.vae.codec import Codec, prepare_offloaded

FRAMES_PER_LATENT = 4


@dataclass
class CausalMemory:
    """What the causal convolutions of one encoder or decoder remember of one video."""

    features: list[Tensor | str | None]
    """One entry a convolution: its last two input frames, None before the first, a mark after
    it."""
    empty: bool = field(default=True)
    """Whether nothing has been seen yet."""

    @classmethod
    def for_module(cls, module: nn.Module) -> CausalMemory:
        """A memory with one empty entry for each causal convolution of the module."""
        return cls(features=[None] * sum(isinstance(m, WanCausalConv3d) for m in module.modules()))


def encode_piece(vae: AutoencoderKLWan, pixels: Tensor, memory: CausalMemory) -> Tensor:
    """Patchified pixels (B,C,f,H',W') -> moments (B,2c,t,h,w): f = 1 at the beginning, then any
    multiple of 4."""
    moments = vae.encoder(pixels, feat_cache=memory.features, feat_idx=[0])
    memory.empty = False
    return vae.quant_conv(moments)


def decode_piece(vae: AutoencoderKLWan, latents: Tensor, memory: CausalMemory) -> Tensor:
    """Raw latents (B,c,t,h,w) -> pixel frames (B,3,f,H,W): t = 1 at the beginning, then any
    number."""
    pixels = vae.decoder(
        vae.post_quant_conv(latents),
        feat_cache=memory.features,
        feat_idx=[0],
        first_chunk=memory.empty,
    )
    memory.empty = False
    return unpatchify(pixels, patch_size=vae.config.patch_size or 1)


def encode_moments(vae: AutoencoderKLWan, frames: Tensor, *, piece: int) -> Tensor:
    """Frames (B,3,F,H,W) -> moments (B,2c,T,h,w), the first frame alone, then `piece` frames at a
    time."""
    pixels = patchify(frames, patch_size=vae.config.patch_size or 1)
    memory = CausalMemory.for_module(vae.encoder)
    return torch.cat([encode_piece(vae, it, memory) for it in _pieces(pixels, piece)], dim=2)


def decode_latents(vae: AutoencoderKLWan, latents: Tensor, *, piece: int) -> Tensor:
    """Raw latents (B,c,T,h,w) -> frames (B,3,F,H,W), unclamped: the first alone, then `piece` at a
    time."""
    memory = CausalMemory.for_module(vae.decoder)
    return torch.cat([decode_piece(vae, it, memory) for it in _pieces(latents, piece)], dim=2)


def _pieces(video: Tensor, piece: int) -> list[Tensor]:
    """The first frame (B,C,1,H,W), then pieces of `piece` frames."""
    first, later = video[:, :, :1], video[:, :, 1:]
    return [first, *(later.split(piece, dim=2) if later.shape[2] else ())]


class WanCodec(Codec[CausalMemory]):
    """`AutoencoderKLWan` as a stream. It runs in the VAE's precision, whatever the latents' is."""

    vae: AutoencoderKLWan

    def __init__(self, vae: AutoencoderKLWan, *, temporal_scale: float = 1.0) -> None:
        config = vae.config
        levels, doublings = len(config.dim_mult) - 1, sum(config.temperal_downsample)
        if 2**doublings != FRAMES_PER_LATENT:
            raise ValueError(
                f"a VAE with {2**doublings} frames per latent frame; expected {FRAMES_PER_LATENT}: "
                f"two True in temperal_downsample, got {list(config.temperal_downsample)}"
            )
        self.channels = config.z_dim
        self.spatial_factor = (config.patch_size or 1) * 2**levels
        super().__init__(
            vae, mean=config.latents_mean, std=config.latents_std, temporal_scale=temporal_scale
        )

    def _encode(self, frames: Tensor) -> Tensor:
        prepare_offloaded(self.vae)
        pixels = rearrange(frames, "b f c h w -> b c f h w").to(self.vae.dtype)
        moments = encode_moments(self.vae, pixels, piece=FRAMES_PER_LATENT)
        mode, _ = moments.chunk(2, dim=1)
        return rearrange(mode, "b c t h w -> b t c h w")

    def _begin(self) -> CausalMemory:
        return CausalMemory.for_module(self.vae.decoder)

    def _decode(self, latents: Tensor, state: CausalMemory) -> tuple[Tensor, CausalMemory]:
        prepare_offloaded(self.vae)
        raw = rearrange(latents, "b t c h w -> b c t h w").to(self.vae.dtype)
        pixels = decode_piece(self.vae, raw, state)
        return rearrange(pixels, "b c f h w -> b f c h w"), state
