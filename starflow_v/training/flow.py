"""Training the flow, its text encoder and its denoiser in one step.

    x = latents + sigma · eps -> flow -> NLL -> backward -> x.grad -> denoiser's target -> backward

Two backward passes, two optimizers (three with the text encoder's), no pass that does not train
anything: the score that the denoiser learns falls out of the flow's own backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from starflow_v.data.latent_cache import LatentBatch
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.training.engine.state import module_state, restore_module
from starflow_v.training.flow_report import measure_held_out
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.flow_text import FrozenText
from starflow_v.training.growth import grow_denoiser, grow_flow
from starflow_v.training.latent_recipe import STILLS, LatentRecipe
from starflow_v.training.lora import LoraSettings, add_adapter, check_same_networks, save_adapters
from starflow_v.training.objectives import (
    add_noise,
    flow_score_matching,
    latent_norm,
    negative_log_likelihood,
    noise_weight,
    per_sample,
    score_target,
)

FlowBatch = Mapping[str, Tensor]
"""latents and eps (B,T,c,h,w), sigma (B,), the captions, see `flow_text`, and places (T,) where
frames are left out."""


class FlowRecipe(LatentRecipe):
    """Flow, text encoder and denoiser on cached latents."""

    settings: FlowSettings

    def __init__(self, settings: FlowSettings) -> None:
        super().__init__(settings)
        assert settings.denoiser is not None, "`recipes.recipe_of` chooses the other recipe"
        shared = {"in_channels": self.codec.channels, "text_dim": self.text.width}
        shape = asdict(settings.flow)
        self.flow = StarFlowModel(**shared, **shape)
        places = {key: shape[key] for key in ("patch_size", "reference_size")}
        self.denoiser = CausalDenoiser(**shared, **places, **asdict(settings.denoiser))
        if settings.initialize is not None:
            self._initialize(settings.initialize)
        if settings.lora is not None:
            self._adapt(settings.lora)
        if settings.recompute:
            self.flow.enable_gradient_checkpointing()
            self.denoiser.enable_gradient_checkpointing()
        optimizers = {"flow": self._matrix_optimizer(self.flow, settings.lr)}
        if self.text.trained:
            optimizers["text_encoder"] = self._adamw(self.text_encoder, settings.lr)
        optimizers["denoiser"] = self._matrix_optimizer(self.denoiser, settings.denoiser_lr)
        self.parts = {
            name: self._part(getattr(self, name), it, only_trained=settings.lora is not None)
            for name, it in optimizers.items()
        }

    @property
    def exported(self) -> str:
        return "pipeline" if self.settings.lora is None else "lora"

    def _initialize(self, folder: str) -> None:
        """Begin with what a pipeline of the same vocabulary computes; larger networks grow."""
        start = StarFlowVPipeline.from_pretrained(folder)
        assert self.tokenizer is not None, "models of classes have a recipe of their own"
        lacking = [name for name in ("tokenizer", "denoiser") if getattr(start, name) is None]
        if lacking:
            raise ValueError(
                f"a run cannot begin with {folder}, which has no {' and no '.join(lacking)}: "
                "initialize wants a model that this command exported"
            )
        if start.tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise ValueError(
                f"{folder} reads other words than this run: its tokenizer has "
                f"{len(start.tokenizer)} tokens, this one {len(self.tokenizer)}"
            )
        if self.text.trained:
            restore_module(self.text_encoder, module_state(start.text_encoder))
        grow_flow(start.flow, self.flow)
        grow_denoiser(start.denoiser, self.denoiser)
        if self.settings.lora is not None:
            check_same_networks((start.flow, start.denoiser), (self.flow, self.denoiser))

    def _adapt(self, lora: LoraSettings) -> None:
        """Freeze all there is; what will be trained are adapters of the flow and the denoiser."""
        if self.text.trained:
            self.text = FrozenText(
                self.text_encoder, self.tokenizer, length=self.settings.text.length
            )
        for model in (self.flow, self.denoiser):
            add_adapter(model, lora)

    def shown(self, batch: LatentBatch, step: int) -> LatentBatch:
        """Of some batches of edits the first frames alone."""
        if batch.bucket.task != "v2v" or self.settings.edited_stills == 0:
            return batch
        draw = np.random.default_rng([self.settings.trainer.seed, step, 0, STILLS]).random()
        return batch.first_frames() if draw < self.settings.edited_stills else batch

    def more(self, draws: Sequence[np.random.Generator], batch: LatentBatch) -> FlowBatch:
        """The noise level of each sample."""
        return {"sigma": torch.full((len(draws),), self.settings.noise_std)}

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: FlowBatch,
        backward: Callable[[Tensor], None],
    ) -> Mapping[str, Tensor]:
        """The flow's likelihood, then the denoiser on the gradient that it left in x."""
        sigma, places = batch["sigma"], batch.get("places")
        text = self.text.embed(modules, batch)
        x = add_noise(batch["latents"], sigma, batch["eps"]).requires_grad_()
        output = modules["flow"](x, text, return_between=True, times=places)
        nll = negative_log_likelihood(output.z, output.log_det)
        norm = latent_norm(output.between)
        weight = noise_weight(sigma) if self._told("noise_std") else torch.ones_like(sigma)
        gradient = self._backward_flow(x, (weight * nll).mean(), norm, backward)
        target = score_target(gradient * x.numel() / per_sample(weight, x), sigma)
        prediction = modules["denoiser"](x.detach(), text.detach(), times=places)
        error = flow_score_matching(prediction, target)
        backward(error)
        return {
            "nll": nll.mean(),
            "score_error": error,
            "score_power": target.square().mean(),
            "latent_norm": norm,
        }

    def _backward_flow(
        self, x: Tensor, loss: Tensor, norm: Tensor, backward: Callable[[Tensor], None]
    ) -> Tensor:
        """Gradients of the likelihood and the penalty; returns the likelihood's alone, ∂loss/∂x.

        With a penalty x has a backward pass to itself. It comes first, and each parameter still
        meets one pass, as the exchange between several processes expects.
        """
        if self.settings.latent_norm == 0:
            backward(loss)
            assert x.grad is not None
            return x.grad
        (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
        backward(loss + self.settings.latent_norm * norm)
        return gradient.contiguous()

    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Held-out likelihood, and videos of captions never trained on, checked and drawn."""
        batch = self.held_out_batch(self.settings.samples)
        with torch.no_grad():
            text = self.text.embed({"text_encoder": self.text_encoder}, batch)
        measured = measure_held_out(self.flow, self.denoiser, text, batch)
        return {**measured, **self.sample(self.settings.samples, folder)}

    def export(self, folder: Path) -> None:
        """The pipeline, its big parts in half precision; or the adapters alone."""
        if self.settings.lora is not None:
            save_adapters(folder, self.flow, self.denoiser)
            return
        super().export(folder)

    def pipeline(self) -> StarFlowVPipeline:
        """The parts as they are now, as a pipeline."""
        pipeline = StarFlowVPipeline(
            self.flow,
            self.denoiser,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            **self.pipeline_settings(),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
