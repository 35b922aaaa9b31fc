"""`PatchCodec`: a linear codec. Four frames of p x p pixels are one vector, projected on a few
orthonormal directions.

    latent = Q (v - m) / s,    v' = s Qᵀ latent + m,    s = sqrt(4·p·p)

v has n = 4·p·p·3 numbers. The rows of Q are orthonormal: the lowest frequencies of a cosine
transform (the first three latents are then the mean colour), or the principal components of given
clips. With all n channels nothing is lost. The first frame of a video is encoded as a clip of four
equal frames and decoded as their mean. No pixel depends on a neighbouring patch, so streaming needs
no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange, repeat
from torch import Tensor, nn

from starflow_v.vae.codec import Codec, prepare_offloaded

FRAMES_PER_LATENT = 4


class PatchCodec(ModelMixin, ConfigMixin):
    """The two linear maps, saved like any VAE. New ones hold the cosine transform; `fit` makes
    fitted ones."""

    _no_split_modules = ()
    _group_offload_block_modules = ("encoder", "decoder")

    @register_to_config
    def __init__(
        self,
        channels: int,
        patch_size: int = 8,
        latents_mean: list[float] | None = None,
        latents_std: list[float] | None = None,
    ) -> None:
        super().__init__()
        numbers = FRAMES_PER_LATENT * patch_size * patch_size * 3
        if not 1 <= channels <= numbers:
            raise ValueError(
                f"channels must be between 1 and {numbers}, the numbers in {FRAMES_PER_LATENT} "
                f"frames of {patch_size}x{patch_size} pixels; got {channels}"
            )
        self.encoder = nn.Linear(numbers, channels)
        self.decoder = nn.Linear(channels, numbers)
        self._set_basis(cosine_basis(patch_size)[:channels], torch.zeros(numbers))

    @classmethod
    def fit(cls, clips: Iterable[Tensor], channels: int, *, patch_size: int = 8) -> PatchCodec:
        """Principal components of clips (B,F,3,H,W) in [-1,1]; latents get mean 0 and standard
        deviation 1."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for clip in clips:
            vectors = clip_to_vectors(clip, patch_size).flatten(0, -2).double().cpu()
            count += len(vectors)
            total = total + vectors.sum(0)
            squares = squares + vectors.T @ vectors
        if count == 0:
            raise ValueError("PatchCodec.fit needs at least one clip (B,F,3,H,W), got none")
        mean = total / count
        variances, directions = torch.linalg.eigh(squares / count - torch.outer(mean, mean))
        basis = directions.T.flip(0)[:channels]
        std = (variances.flip(0)[:channels].clamp_min(1e-12) / (len(mean) / 3)).sqrt()
        codec = cls(channels, patch_size, [0.0] * channels, std.tolist())
        codec._set_basis(basis.float(), mean.float())
        return codec

    @torch.no_grad()
    def _set_basis(self, basis: Tensor, mean: Tensor) -> None:
        """Both maps from Q (c,n) and m (n)."""
        scale = math.sqrt(basis.shape[1] / 3)
        self.encoder.weight.copy_(basis / scale)
        self.encoder.bias.copy_(-(basis @ mean) / scale)
        self.decoder.weight.copy_(basis.T * scale)
        self.decoder.bias.copy_(mean)

    def forward(self, frames: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Frames (B,F,3,H,W) there and back, unclamped: the `sample` of the output, or a tuple."""
        vectors = self.decoder(self.encoder(clip_to_vectors(frames, self.config.patch_size)))
        clip = vectors_to_clip(vectors, self.config.patch_size)
        first = clip[:, :FRAMES_PER_LATENT].mean(1, keepdim=True)
        sample = torch.cat([first, clip[:, FRAMES_PER_LATENT:]], dim=1)
        return DecoderOutput(sample=sample) if return_dict else (sample,)


PatchCodec.__module__ = "starflow_v"  # saved folders name the package, whatever this file is called


class PatchStreamCodec(Codec[bool]):
    """`PatchCodec` behind the interface of every codec. The state says whether the first frame is
    still to come."""

    vae: PatchCodec

    def __init__(self, vae: PatchCodec, *, temporal_scale: float = 1.0) -> None:
        config = vae.config
        self.channels = config.channels
        self.spatial_factor = config.patch_size
        super().__init__(
            vae,
            mean=config.latents_mean or [0.0] * config.channels,
            std=config.latents_std or [1.0] * config.channels,
            temporal_scale=temporal_scale,
        )

    def _encode(self, frames: Tensor) -> Tensor:
        prepare_offloaded(self.vae)
        vectors = clip_to_vectors(frames.to(self.vae.dtype), self.spatial_factor)
        return rearrange(self.vae.encoder(vectors), "b t h w c -> b t c h w")

    def _begin(self) -> bool:
        return True

    def _decode(self, latents: Tensor, state: bool) -> tuple[Tensor, bool]:
        prepare_offloaded(self.vae)
        tokens = rearrange(latents, "b t c h w -> b t h w c").to(self.vae.dtype)
        clip = vectors_to_clip(self.vae.decoder(tokens), self.spatial_factor)
        return clip.mean(1, keepdim=True) if state else clip, False


def clip_to_vectors(frames: Tensor, patch_size: int) -> Tensor:
    """Frames (B,1+4k,3,H,W) -> patches (B,T,h,w,n) of four frames each, the first frame repeated
    four times."""
    first = repeat(frames[:, :1], "b 1 c h w -> b f c h w", f=FRAMES_PER_LATENT)
    return rearrange(
        torch.cat([first, frames[:, 1:]], dim=1),
        "b (t f) c (h p) (w q) -> b t h w (f p q c)",
        f=FRAMES_PER_LATENT,
        p=patch_size,
        q=patch_size,
    )


def vectors_to_clip(vectors: Tensor, patch_size: int) -> Tensor:
    """Patches (B,T,h,w,n) -> four frames for each latent frame, (B,4T,3,H,W)."""
    return rearrange(
        vectors,
        "b t h w (f p q c) -> b (t f) c (h p) (w q)",
        f=FRAMES_PER_LATENT,
        p=patch_size,
        q=patch_size,
    )


def cosine_basis(patch_size: int) -> Tensor:
    """The orthonormal cosine transform of 4 frames x p x p pixels x 3 colours, (n,n), lowest
    frequencies first."""
    time, space = cosine_matrix(FRAMES_PER_LATENT), cosine_matrix(patch_size)
    basis = torch.einsum("af,bp,cq,de->abcdfpqe", time, space, space, torch.eye(3))
    basis = rearrange(basis, "a b c d f p q e -> (a b c d) (f p q e)")
    cycles = [torch.arange(n) / n for n in (FRAMES_PER_LATENT, patch_size, patch_size)]
    frequency = torch.stack(torch.meshgrid(*cycles, indexing="ij")).sum(0).flatten()
    return basis[torch.argsort(frequency.repeat_interleave(3), stable=True)]


def cosine_matrix(size: int) -> Tensor:
    """Rows are the orthonormal cosines (DCT-II): sqrt(2/n) cos(pi/n (j + 1/2) k), the constant row
    1/sqrt(n)."""
    k, j = torch.arange(size)[:, None], torch.arange(size)[None]
    matrix = math.sqrt(2 / size) * torch.cos(math.pi / size * (j + 0.5) * k)
    matrix[0] = 1 / math.sqrt(size)
    return matrix
