"""The noise that a pipeline's flow models: how it is added, and what takes it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from starflow_v.denoiser import CausalDenoiser, cleaner_of
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.sampling.stages import Denoiser
from starflow_v.vae import PixelCodec


class NoiseMixin:
    """A part of every pipeline."""

    flow: StarFlowModel
    denoiser: CausalDenoiser | None
    vae: nn.Module | None
    config: Mapping[str, Any]

    @property
    def cleaner(self) -> Denoiser:
        """What takes the noise out of samples: the denoiser, the decoder, or the flow's score."""
        return cleaner_of(self.denoiser, self.flow, self.config)

    def noised(self, clean: Tensor, eps: Tensor) -> Tensor:
        """Clean latents as noisy as the flow models them, by standard normal numbers like them."""
        if self.config["decoder_cleans"] and isinstance(self.vae, PixelCodec):
            return clean + self.vae.within_bins(eps)
        return clean + self.config["noise_std"] * eps
