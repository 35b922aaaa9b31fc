"""Training a flow alone, without a denoiser: the image models, in pixels (TARFlow) or latents.

    x = latents + noise -> flow -> NLL -> backward

The noise is Gaussian, and samples are cleaned along the flow's own score; or it is uniform over the
bins of the pixels (`dequantize`), which makes the likelihood of x a bound on that of the pixels and
which decoding undoes, see `starflow_v.evaluation.pixel_bits`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from starflow_v.data.latent_cache import LatentBatch
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.latent_recipe import Batch, LatentRecipe
from starflow_v.training.objectives import (
    add_noise,
    bits_per_dimension,
    latent_norm,
    negative_log_likelihood,
)
from starflow_v.vae import PixelCodec


class LikelihoodRecipe(LatentRecipe):
    """Flow and text encoder on cached latents."""

    settings: FlowSettings

    def __init__(self, settings: FlowSettings) -> None:
        super().__init__(settings)
        if settings.dequantize:
            assert isinstance(self.vae, PixelCodec), "the settings see to it"
            self.settings = settings = replace(settings, noise_std=self.vae.bin_std)
        self.flow = StarFlowModel(
            in_channels=self.codec.channels, text_dim=self.text.width, **asdict(settings.flow)
        )
        if settings.recompute:
            self.flow.enable_gradient_checkpointing()
        optimizers = {"flow": self._matrix_optimizer(self.flow, settings.lr)}
        if self.text.trained:
            optimizers["text_encoder"] = self._adamw(self.text_encoder, settings.lr)
        self.parts = {name: self._part(getattr(self, name), it) for name, it in optimizers.items()}

    def noise(self, shape: torch.Size, generator: Generator) -> Tensor:
        """Gaussian, or uniform over (-√3, √3): both of standard deviation 1."""
        if not self.settings.dequantize:
            return super().noise(shape, generator)
        return (2 * torch.rand(shape, generator=generator) - 1) * math.sqrt(3)

    def more(self, draws: Sequence[np.random.Generator], batch: LatentBatch) -> Batch:
        """The noise level of each sample."""
        return {"sigma": torch.full((len(draws),), self.settings.noise_std)}

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: Batch,
        backward: Callable[[Tensor], None],
    ) -> Mapping[str, Tensor]:
        """The flow's likelihood, and the penalty on what lies between its blocks."""
        text = self.text.embed(modules, batch)
        x = add_noise(batch["latents"], batch["sigma"], batch["eps"])
        output = modules["flow"](x, text, return_between=True)
        nll = negative_log_likelihood(output.z, output.log_det).mean()
        norm = latent_norm(output.between)
        backward(nll + self.settings.latent_norm * norm)
        return {"nll": nll, "latent_norm": norm}

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Held-out likelihood in bits per latent dimension, and samples, drawn."""
        batch = self.held_out_batch(max(self.settings.samples, self.settings.batch_size))
        text = self.text.embed({"text_encoder": self.text_encoder}, batch)
        x = add_noise(batch["latents"], batch["sigma"], batch["eps"])
        z, log_det = self.flow(x, text, return_dict=False)
        told = bits_per_dimension(negative_log_likelihood(z, log_det).mean())
        return {"bits_per_dim": float(told), **self.sample(self.settings.samples, folder)}

    def pipeline(self) -> StarFlowVPipeline:
        """The parts as they are now, as a pipeline."""
        pipeline = StarFlowVPipeline(
            self.flow,
            None,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            decoder_cleans=self.settings.dequantize,
            **self.pipeline_settings(),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
