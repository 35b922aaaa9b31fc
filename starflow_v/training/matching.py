"""Training a causal velocity by flow matching, on the same latents, captions and engine as a flow.

Each frame has a time of its own and is joined to noise by the coupling, frame by frame: what the
network makes in one go is a frame, so that is what is transported. The pairs are those of a micro
batch of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from starflow_v.baselines.causal_velocity import CausalVelocityModel
from starflow_v.baselines.couplings import Coupling, IndependentCoupling, WeightedCoupling
from starflow_v.baselines.flow_matching import flow_matching_loss, interpolate, target_velocity
from starflow_v.baselines.gibbs import choose_kappa, effective_sample_size
from starflow_v.baselines.pipeline import StarFlowVFlowMatchingPipeline
from starflow_v.data.latent_cache import LatentBatch
from starflow_v.training.latent_recipe import Batch, LatentRecipe
from starflow_v.training.matching_settings import MatchingSettings, make_coupling

KAPPA_CLIPS = 128
"""Clips whose frames kappa is chosen by."""


class MatchingRecipe(LatentRecipe):
    """Velocity network and text encoder on cached latents."""

    settings: MatchingSettings

    def __init__(self, settings: MatchingSettings) -> None:
        super().__init__(settings)
        self.flow = CausalVelocityModel(
            in_channels=self.codec.channels,
            text_dim=self.text.width,
            **asdict(settings.velocity),
        )
        optimizers = {"flow": self._matrix_optimizer(self.flow, settings.lr)}
        if self.text.trained:
            optimizers["text_encoder"] = self._adamw(self.text_encoder, settings.lr)
        self.parts = {name: self._part(getattr(self, name), it) for name, it in optimizers.items()}

    @cached_property
    def coupling(self) -> Coupling:
        """Which noise goes with which frame; kappa is a function of the data and the seed."""
        settings = self.settings
        kappa = settings.kappa
        if kappa is None and settings.coupling == "weighted":
            numbers = list(range(KAPPA_CLIPS))
            drawn = self.cache.of_heaviest_bucket(numbers)
            batch = self.prepare(drawn, [[0, number] for number in numbers])
            kappa = choose_kappa(_frames(batch["eps"]), _frames(batch["latents"])).kappa
        return make_coupling(settings, 1.0 if kappa is None else kappa)

    def more(self, draws: Sequence[np.random.Generator], batch: LatentBatch) -> Batch:
        """The time of each frame, (B, T), uniform."""
        frames = batch.latents.shape[1]
        times = np.stack([rng.random(frames, dtype=np.float32) for rng in draws])
        return {"times": torch.from_numpy(times)}

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: Batch,
        backward: Callable[[Tensor], None],
    ) -> Mapping[str, Tensor]:
        """The velocity of each frame along its line, given clean frames before it."""
        text = self.text.embed(modules, batch)
        loss, share = self._loss(modules["flow"], batch, text, self.coupling)
        backward(loss)
        return {"loss": loss, "effective_share": share}

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Held-out loss, the same for all couplings (I-CFM's), and videos of captions never trained
        on, checked and drawn."""
        batch = self.held_out_batch(self.settings.samples)
        text = self.text.embed({"text_encoder": self.text_encoder}, batch)
        loss, _ = self._loss(self.flow, batch, text, IndependentCoupling())
        measured = {"held_out_loss": float(loss)}
        if isinstance(self.coupling, WeightedCoupling):
            measured["kappa"] = self.coupling.kappa
        return {**measured, **self.sample(self.settings.samples, folder)}

    def pipeline(self) -> StarFlowVFlowMatchingPipeline:
        """The parts as they are now, as a pipeline."""
        pipeline = StarFlowVFlowMatchingPipeline(
            self.flow,
            None,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            num_inference_steps=self.settings.num_inference_steps,
            **self.pipeline_settings(),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _loss(
        self, network: nn.Module, batch: Batch, text: Tensor, coupling: Coupling
    ) -> tuple[Tensor, Tensor]:
        """The objective (3), and the effective sample size as a share of the frames."""
        clean, times = batch["latents"], batch["times"]
        noise, data, weight = coupling(_frames(batch["eps"]), _frames(clean))
        x = interpolate(noise, data, times.flatten()).view_as(clean)
        prediction = network(x, times, clean, text)
        loss = flow_matching_loss(_frames(prediction), target_velocity(noise, data), weight)
        return loss, effective_sample_size(weight) / len(weight)


def _frames(latents: Tensor) -> Tensor:
    """(B, T, c, h, w) -> (B·T, c, h, w)."""
    return rearrange(latents, "b t c h w -> (b t) c h w")
