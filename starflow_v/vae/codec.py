"""What every codec does: check sizes, normalise latents, keep the first frame apart.

A video VAE that is causal in time turns its first pixel frame into one latent frame and every four
later ones into another, so F = 1 + 4(T-1). A subclass says how frames become raw latents and how
one more piece of raw latents becomes frames; its memory of earlier pieces is a `DecoderState` that
belongs to the stream, never to the module, so any number of streams can run through one VAE at the
same time.

    normalised latents = (raw - mean) / std, frames after the first times temporal_scale
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

DecoderState = TypeVar("DecoderState")


class Codec(ABC, Generic[DecoderState]):
    """Frames (B,F,3,H,W) in [-1,1] <-> normalised latents (B,T,c,h,w). What comes in decides device
    and dtype."""

    channels: int
    """c, the channels of a latent frame."""
    spatial_factor: int
    """Pixel rows per latent row, H/h."""
    temporal_factor: int = 4
    """Pixel frames per latent frame after the first."""

    def __init__(
        self, vae: nn.Module, *, mean: Sequence[float], std: Sequence[float], temporal_scale: float
    ) -> None:
        if temporal_scale <= 0:
            raise ValueError(f"temporal_scale must be above 0, got {temporal_scale}")
        if len(mean) != self.channels or len(std) != self.channels:
            raise ValueError(
                f"the VAE has {self.channels} latent channels, but latents_mean has {len(mean)} "
                f"numbers and latents_std has {len(std)}: correct its config.json"
            )
        self.vae = vae
        self.temporal_scale = temporal_scale
        self._mean = torch.tensor(mean, dtype=torch.float32)
        self._std = torch.tensor(std, dtype=torch.float32)

    @abstractmethod
    def _encode(self, frames: Tensor) -> Tensor:
        """Frames (B,F,3,H,W) -> raw latents (B,T,c,h,w), the posterior's mode."""

    @abstractmethod
    def _begin(self) -> DecoderState:
        """The memory of a decoder that has seen nothing."""

    @abstractmethod
    def _decode(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One more raw latent frame (B,1,c,h,w) -> its pixel frames (B,f,3,H,W) and what to
        remember."""

    def encode(self, frames: Tensor) -> Tensor:
        """Pixel frames (B,F,3,H,W) -> normalised latents (B,T,c,h,w). Refuses sizes that do not
        fit."""
        self.check_frames(frames)
        return self._normalize(self._encode(frames).to(frames.dtype))

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (B,T,c,h,w) -> pixel frames (B,F,3,H,W) in [-1,1]."""
        return torch.cat(list(self.decode_stream([latents])), dim=1)

    def decode_stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pieces (B,k,c,h,w) of one latent video, in order -> the pixel frames of each, as soon as
        it is there."""
        state, first = self._begin(), True
        for latents in chunks:
            self._check_latents(latents)
            frames = []
            for latent in self._denormalize(latents, first=first).split(1, dim=1):
                decoded, state = self._decode(latent, state)
                frames.append(decoded.to(latents.dtype).clamp(-1, 1))
            first = False
            yield torch.cat(frames, dim=1)

    def latent_frames(self, num_frames: int) -> int:
        """T of F pixel frames; F must be 1 + 4k."""
        later, rest = divmod(num_frames - 1, self.temporal_factor)
        if num_frames < 1 or rest:
            low = max(1, num_frames - rest)
            raise ValueError(
                f"{num_frames} frames do not fit: the codec takes 1 + {self.temporal_factor}k "
                f"frames, for example {low} or {low + self.temporal_factor}"
            )
        return 1 + later

    def check_frames(self, frames: Tensor) -> None:
        """Refuse frames whose shape the codec cannot encode."""
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"expected frames (B,F,3,H,W), got the shape {tuple(frames.shape)}")
        self.latent_frames(frames.shape[1])
        height, width = frames.shape[-2:]
        if height % self.spatial_factor or width % self.spatial_factor:
            raise ValueError(
                f"{height}x{width} does not fit: height and width must be multiples of "
                f"{self.spatial_factor}; resize or crop the frames"
            )

    def _check_latents(self, latents: Tensor) -> None:
        if latents.ndim != 5 or latents.shape[2] != self.channels:
            raise ValueError(
                f"expected latents (B,k,{self.channels},h,w), got the shape {tuple(latents.shape)}"
            )

    def _normalize(self, raw: Tensor) -> Tensor:
        mean, std = self._statistics(raw)
        return (raw - mean) / std * self._frame_scale(raw, first=True)

    def _denormalize(self, latents: Tensor, *, first: bool) -> Tensor:
        mean, std = self._statistics(latents)
        return latents / self._frame_scale(latents, first=first) * std + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, (c,1,1) each."""
        return self._mean.to(like)[:, None, None], self._std.to(like)[:, None, None]

    def _frame_scale(self, latents: Tensor, *, first: bool) -> Tensor:
        """(k,1,1,1): temporal_scale, but 1 for the very first frame of a video."""
        scale = latents.new_full((latents.shape[1], 1, 1, 1), self.temporal_scale)
        if first:
            scale[0] = 1.0
        return scale


def prepare_offloaded(vae: nn.Module) -> None:
    """Bring an offloaded VAE to its device, as calling it would.

    Model offload moves a module when its `forward` is called; a codec calls the parts of the VAE
    instead, so the hook (named `_hf_hook` by accelerate) is asked here.
    """
    hook = getattr(vae, "_hf_hook", None)
    if hook is not None and hasattr(hook, "pre_forward"):
        hook.pre_forward(vae)
