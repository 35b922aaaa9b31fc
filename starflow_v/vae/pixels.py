"""`PixelCodec`: no codec at all. The flow sees pixels, as in TARFlow (arXiv 2412.06329).

A pixel has K levels x = 0 .. K-1. Its latent is the middle of bin x, if [-1,1] is cut into K bins,

    latent = 2 (x + 1/2) / K - 1 = f (K-1) / K,        f = 2x / (K-1) - 1,

f being the pixel as frames have it. So noise that is uniform in (-1/K, 1/K) fills each bin and no
gap is left between them (dequantisation), and decoding, which takes the nearest level, undoes it.
"""

from __future__ import annotations

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from einops import repeat
from torch import Tensor, nn

from starflow_v.vae.codec import Codec


class PixelCodec(ModelMixin, ConfigMixin):
    """The identity on pixels, saved like any VAE.

    Args:
        channels: 3, or 1 for gray pictures.
        levels: K, values that a pixel can have.
    """

    _no_split_modules = ()

    @register_to_config
    def __init__(self, channels: int = 3, levels: int = 256) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels={channels} is not valid: give 3, or 1 for gray pictures")
        if levels < 2:
            raise ValueError(f"levels={levels} is not valid: a pixel has at least 2")
        self.bins = nn.Parameter(torch.tensor(float(levels)), requires_grad=False)

    @property
    def bin_std(self) -> float:
        """Standard deviation of noise that is uniform over a bin, in units of the latents."""
        return 1 / (self.config["levels"] * math.sqrt(3))

    def within_bins(self, eps: Tensor) -> Tensor:
        """Standard normal numbers -> noise that is uniform over a bin, of the same shape."""
        return torch.erf(eps / math.sqrt(2)) / self.config["levels"]

    def quantize(self, frames: Tensor) -> Tensor:
        """The nearest of the K levels, both in [-1,1]."""
        last = self.config["levels"] - 1
        return ((frames.clamp(-1, 1) + 1) / 2 * last).round() / last * 2 - 1

    def forward(self, frames: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Frames (B,F,3,H,W) there and back: their nearest levels, in gray if there is one
        channel."""
        codec = PixelStreamCodec(self)
        sample = codec.decode(codec.encode(frames))
        return DecoderOutput(sample=sample) if return_dict else (sample,)


PixelCodec.__module__ = "starflow_v"  # saved folders name the package, whatever this file is called


class PixelStreamCodec(Codec[None]):
    """`PixelCodec` behind the interface of every codec: a latent frame is a pixel frame."""

    vae: PixelCodec
    spatial_factor = 1
    temporal_factor = 1

    def __init__(self, vae: PixelCodec, *, temporal_scale: float = 1.0) -> None:
        self.channels = int(vae.config["channels"])
        super().__init__(
            vae,
            mean=[0.0] * self.channels,
            std=[1.0] * self.channels,
            temporal_scale=temporal_scale,
        )

    def _encode(self, frames: Tensor) -> Tensor:
        colors = frames if self.channels == 3 else frames.mean(2, keepdim=True)
        return self.vae.quantize(colors) * (1 - 1 / self.vae.bins.to(frames))

    def _begin(self) -> None:
        return None

    def _decode(self, latents: Tensor, state: None) -> tuple[Tensor, None]:
        frames = self.vae.quantize(latents / (1 - 1 / self.vae.bins.to(latents)))
        return repeat(frames, "b t c h w -> b t (r c) h w", r=3 // self.channels), None
