"""The causal VAE as something to train: a small one, a forward pass there and back, its latents'
statistics."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanAttentionBlock, WanResidualBlock
from einops import rearrange
from torch import Tensor, nn

from starflow_v.vae.wan import decode_latents, encode_moments

STATISTICS_NAME = "statistics.json"


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """The shape of an `AutoencoderKLWan` in its 2.2 form: pixel patches, residual shortcuts."""

    channels: int = 48
    """c, the latents' channels."""
    patch_size: int = 4
    """Pixels per side that enter the first layer as one."""
    base_dim: int = 32
    """Width of the first level."""
    dim_mult: list[int] = field(default_factory=lambda: [1, 2, 2])
    """Width of each level as a multiple of it; every level but the last halves the picture, the
    last two halve time."""
    num_res_blocks: int = 1
    """Residual blocks a level."""

    def build(self) -> AutoencoderKLWan:
        """A new one. Its residual branches start at zero, so that at first the shortcuts carry the
        picture."""
        halvings = len(self.dim_mult) - 1
        vae = AutoencoderKLWan(
            base_dim=self.base_dim,
            z_dim=self.channels,
            dim_mult=list(self.dim_mult),
            num_res_blocks=self.num_res_blocks,
            temperal_downsample=[level >= halvings - 2 for level in range(halvings)],
            is_residual=True,
            in_channels=3 * self.patch_size**2,
            out_channels=3 * self.patch_size**2,
            patch_size=self.patch_size,
            scale_factor_spatial=self.spatial_factor,
            latents_mean=[0.0] * self.channels,
            latents_std=[1.0] * self.channels,
        )
        for module in vae.modules():
            if isinstance(module, WanResidualBlock):
                nn.init.zeros_(module.conv2.weight)
                nn.init.zeros_(module.conv2.bias)
            elif isinstance(module, WanAttentionBlock):
                nn.init.zeros_(module.proj.weight)
        return vae

    @property
    def spatial_factor(self) -> int:
        """Pixel rows per latent row."""
        return self.patch_size * 2 ** (len(self.dim_mult) - 1)


class Autoencoder(nn.Module):
    """Frames there and back in one call, as the trainer needs it.

    Args:
        vae: the VAE.
        statistics: of its latents, if they are settled: noise is then as large as a flow's is.
    """

    def __init__(self, vae: AutoencoderKLWan, statistics: LatentStatistics | None = None) -> None:
        super().__init__()
        self.vae = vae
        self._statistics = statistics

    def forward(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B,F,3,H,W), noise (B,T,c,h,w) -> reconstruction like frames, raw latents like
        noise.

        The decoder sees latents + spread · noise: nearby latents then mean similar clips. While
        the encoder learns, the spread is each channel's standard deviation in this batch, so that
        no growth of the latents can escape the noise.
        """
        pixels = rearrange(frames, "b f c h w -> b c f h w")
        latents = encode_moments(self.vae, pixels, piece=frames.shape[1]).float()[
            :, : noise.shape[2]
        ]
        spread = self._spread(latents.detach())
        noisy = latents + spread * rearrange(noise, "b t c h w -> b c t h w")
        decoded = decode_latents(self.vae, noisy, piece=noise.shape[1])
        return (
            rearrange(decoded, "b c f h w -> b f c h w"),
            rearrange(latents, "b c t h w -> b t c h w"),
        )

    def _spread(self, latents: Tensor) -> Tensor:
        """What a standard deviation is in raw latents (B,c,T,h,w), a shape that broadcasts to them:
        by the statistics, what is 1 in normalised ones, see `vae.codec`."""
        if self._statistics is None:
            return latents.std((0, 2, 3, 4), keepdim=True)
        scale = latents.new_full((latents.shape[2], 1, 1), self._statistics.temporal_scale)
        scale[0] = 1.0
        return latents.new_tensor(self._statistics.std)[:, None, None, None] / scale


def use_channels_last(module: nn.Module) -> None:
    """Lay out the kernels of convolutions with their channels last, which CPUs and recent GPUs
    prefer."""
    for parameter in module.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
        elif parameter.ndim == 4 and parameter.shape[-1] > 1:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class LatentStatistics:
    """What a flow needs to know of a codec's latents."""

    mean: list[float]
    """Of each channel."""
    std: list[float]
    """Of each channel, scaled so that the first latent frames have unit spread on the whole."""
    temporal_scale: float
    """The factor that gives later latent frames unit spread as well."""

    @classmethod
    def read(cls, folder: Path) -> LatentStatistics:
        """What `save_autoencoder` wrote beside a VAE."""
        try:
            return cls(**json.loads((folder / STATISTICS_NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"{folder} has no readable {STATISTICS_NAME} ({error}): "
                "expected a VAE exported by training"
            ) from error


@torch.no_grad()
def latent_statistics(vae: AutoencoderKLWan, clips: Iterable[Tensor]) -> LatentStatistics:
    """Statistics over clips (B,F,3,H,W) of more than one frame, which may be on another device."""
    modes, device = [], next(vae.parameters()).device
    for frames in clips:
        pixels = rearrange(frames.to(device), "b f c h w -> b c f h w")
        moments = encode_moments(vae, pixels, piece=frames.shape[1])
        modes.append(moments.float().chunk(2, dim=1)[0])
    latents = torch.cat(modes)
    mean, std = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
    normalized = (latents - mean[:, None, None, None]) / std[:, None, None, None]
    first, later = normalized[:, :, :1].std(), normalized[:, :, 1:].std()
    return LatentStatistics(
        mean=mean.tolist(), std=(std * first).tolist(), temporal_scale=float(first / later)
    )


def save_autoencoder(
    vae: AutoencoderKLWan, folder: Path, statistics: LatentStatistics, *, dtype: torch.dtype
) -> None:
    """Write a VAE in diffusers' layout, its statistics in its configuration, its weights in
    `dtype`."""
    finished = copy.deepcopy(vae).to(dtype)
    finished.register_to_config(latents_mean=statistics.mean, latents_std=statistics.std)
    finished.save_pretrained(folder)
    text = json.dumps(asdict(statistics))
    (folder / STATISTICS_NAME).write_text(text, encoding="utf-8")
