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
from starflow_v.training.data.flow_data import on_device
from starflow_v.training.engine.state import module_state, restore_module
from starflow_v.training.flow_report import measure_held_out
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.flow_text import FrozenText
from starflow_v.training.focus import focus_weights
from starflow_v.training.growth import grow_denoiser, grow_flow
from starflow_v.training.latent_recipe import LatentRecipe
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
"""As `latent_recipe.Batch`, with sigma (B,) and, if there is any, context noise as the flow reads
it."""


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
        self._freeze(settings.frozen)
        if settings.recompute:
            self.flow.enable_gradient_checkpointing()
            self.denoiser.enable_gradient_checkpointing()
        optimizers = {"flow": self._matrix_optimizer(self.flow, settings.lr)}
        if self.text.trained:
            optimizers["text_encoder"] = self._adamw(self.text_encoder, settings.lr)
        if "denoiser" not in settings.frozen:
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
        self._freeze(["text_encoder"])
        for model in (self.flow, self.denoiser):
            add_adapter(model, lora)

    def _freeze(self, names: Sequence[str]) -> None:
        """Take networks out of training, see `FlowSettings.frozen`."""
        if "shallow" in names:
            self.flow.shallow.requires_grad_(False)
        if "denoiser" in names:
            self.denoiser.requires_grad_(False)
        if "text_encoder" in names and self.text.trained:
            length = self.settings.text.length
            self.text = FrozenText(self.text_encoder, self.tokenizer, length=length)

    def more(self, draws: Sequence[np.random.Generator], batch: LatentBatch) -> FlowBatch:
        """The noise level of each sample, and the noise on what blocks read."""
        sigma = torch.full((len(draws),), self.settings.noise_std)
        if self.settings.context_noise == 0:
            return {"sigma": sigma}
        shape = (len(self.flow.shallow.blocks) + 1, *batch.latents.shape[1:])
        noise = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in draws])
        return {"sigma": sigma, "context": self.settings.context_noise * torch.from_numpy(noise)}

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: FlowBatch,
        backward: Callable[[Tensor], None],
    ) -> Mapping[str, Tensor]:
        """The flow's likelihood, then the denoiser on the gradient that it left in x.

        Of an edit that is the target's likelihood given the source: nobody asks for a source.
        """
        sigma, places = batch["sigma"], batch.get("places")
        cleans = "denoiser" in self.parts
        text = self.text.embed(modules, batch)
        x = add_noise(batch["latents"], sigma, batch["eps"]).requires_grad_(cleans)
        output = modules["flow"](
            x, text, return_between=True, times=places, context_noise=batch.get("context")
        )
        learned = slice(int(batch.get("given", 0)), None)
        z = output.z[:, learned]
        nll = negative_log_likelihood(z, output.log_det[:, learned])
        focus = self._focus(x, batch)
        focused = nll
        if focus is not None:
            focused = negative_log_likelihood(z, output.log_det[:, learned], focus)
        norm = latent_norm(output.between)
        weight = noise_weight(sigma) if self._told("noise_std") else torch.ones_like(sigma)
        told, loss = {"nll": nll.mean(), "latent_norm": norm}, (weight * focused).mean()
        if not cleans:
            backward(loss + self.settings.latent_norm * norm)
            return told
        gradient = self._backward_flow(x, loss, norm, backward)[:, learned]
        target = score_target(gradient * z.numel() / per_sample(weight, z), sigma)
        prediction = modules["denoiser"](x.detach(), text.detach(), times=places)[:, learned]
        error = flow_score_matching(prediction, target)
        backward(error)
        return {**told, "score_error": error, "score_power": target.square().mean()}

    def _focus(self, x: Tensor, batch: FlowBatch) -> Tensor | None:
        """What each token of the target of an edit counts for; `None` if they count alike."""
        if self.settings.edit_focus == 0 or "given" not in batch:
            return None
        grid, source = self.flow.grid(x), x[:, : int(batch["given"])].detach()
        strength = self.settings.edit_focus
        return focus_weights(source, rows=grid.rows, columns=grid.columns, strength=strength)

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
        with on_device(self.denoiser, self.device):  # a frozen one is no part that the engine moves
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
        patterns = self.data.caption_patterns
        pipeline = StarFlowVPipeline(
            self.flow,
            self.denoiser,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            **self.pipeline_settings(),
            edit_guidance_scale=self.settings.edit_guidance_scale,
            untold_guidance=self.settings.untold_guidance,
            edit_fidelity=self.settings.edit_fidelity,
            caption_patterns=None if patterns is None else asdict(patterns),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
