"""Training the flow, its text encoder and its denoiser in one step.

    x = latents + sigma · eps -> flow -> NLL -> backward -> x.grad -> denoiser's target -> backward

Two backward passes, two optimizers (three with the text encoder's), no pass that does not train
anything: the score that the denoiser learns falls out of the flow's own backward pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Generator, Tensor, nn
from torch.optim import AdamW, Optimizer

from starflow_v.config import load_config, to_dictionary
from starflow_v.data.latent_cache import (
    Encoded,
    LatentBatch,
    LatentCache,
    build_shards,
    folder_fingerprint,
)
from starflow_v.data.scene_latents import scene_encoder
from starflow_v.data.scenes import StreamSettings, known_words
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.text import (
    Conditions,
    Task,
    embed_tokens,
    nearest_aspect_ratio,
    tiny_text_encoder,
    tokenize,
    wrap_caption,
)
from starflow_v.training.engine.muon import Muon
from starflow_v.training.engine.recipe import Part, Share
from starflow_v.training.engine.state import module_state, restore_module
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.flow_report import (
    held_out_captions,
    measure_held_out,
    sample_captions,
)
from starflow_v.training.flow_settings import SHARD, FlowSettings
from starflow_v.training.objectives import (
    add_noise,
    flow_score_matching,
    negative_log_likelihood,
    noise_weight,
    per_sample,
    score_target,
)
from starflow_v.vae import codec_for

HELD_OUT = "held-out"
"""Folder inside the cache with the clips that are measured and never trained on."""

FlowBatch = Mapping[str, Tensor]
"""latents and eps (B,T,c,h,w), sigma (B,), ids and mask (B,L)."""

TASK_OF_BUCKET: dict[str, Task | None] = {
    "video": None,
    "image": None,
    "extend": "extend",
    "last": "last",
    "v2v": "v2v",
}


def train_flow(config: str | Path, overrides: Sequence[str] = ()) -> Path | None:
    """Train (or go on training) the flow that a configuration describes.

    Returns the folder of the exported pipeline, or None if the run was stopped before its end.
    """
    settings = load_config(FlowSettings, config, overrides)
    recipe = FlowRecipe(settings)
    trainer: Trainer[FlowBatch] = Trainer(
        recipe, settings.trainer, description=to_dictionary(settings)
    )
    if trainer.run() < settings.trainer.steps:
        return None
    exported = Path(settings.trainer.folder) / "pipeline"
    trainer.export(exported)
    return exported


class FlowRecipe:
    """Flow, text encoder and denoiser on cached latents of scenes."""

    def __init__(self, settings: FlowSettings) -> None:
        torch.manual_seed(settings.trainer.seed)
        self.settings = settings
        self.vae = AutoencoderKLWan.from_pretrained(settings.vae).eval().requires_grad_(False)
        self.codec = codec_for(self.vae, temporal_scale=temporal_scale(settings))
        self.text_encoder, self.tokenizer = tiny_text_encoder(
            known_words(),
            width=settings.text.width,
            layers=settings.text.layers,
            heads=settings.text.heads,
        )
        shared = {"in_channels": self.codec.channels, "text_dim": settings.text.width}
        shape = asdict(settings.flow)
        self.flow = StarFlowModel(**shared, **shape)
        places = {key: shape[key] for key in ("patch_size", "reference_size")}
        self.denoiser = CausalDenoiser(**shared, **places, **asdict(settings.denoiser))
        if settings.initialize is not None:
            self._initialize(settings.initialize)
        self.parts: Mapping[str, Part] = {
            "flow": self._part(self.flow, self._matrix_optimizer(self.flow, settings.lr)),
            "text_encoder": self._part(
                self.text_encoder, self._adamw(self.text_encoder, settings.lr)
            ),
            "denoiser": self._part(
                self.denoiser, self._matrix_optimizer(self.denoiser, settings.denoiser_lr)
            ),
        }

    def _initialize(self, folder: str) -> None:
        """Begin with the weights of a pipeline of the same shape and vocabulary."""
        start = StarFlowVPipeline.from_pretrained(folder)
        if start.tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise ValueError(
                f"{folder} reads other words than this run: its tokenizer has "
                f"{len(start.tokenizer)} tokens, this one {len(self.tokenizer)}"
            )
        for name in ("flow", "text_encoder", "denoiser"):
            restore_module(getattr(self, name), module_state(getattr(start, name)))

    @cached_property
    def cache(self) -> LatentCache:
        """The latents that are trained on; what is missing on the disk is made first."""
        data = self.settings.data
        self._build_cache()
        shards = {name: data.shards(name) for name in data.tasks}
        return LatentCache(Path(data.cache), data.tasks, shards, seed=self.settings.trainer.seed)

    @cached_property
    def held_out(self) -> LatentCache:
        """Latents of scenes that are never trained on."""
        self._build_cache()
        folder = Path(self.settings.data.cache) / HELD_OUT
        return LatentCache(folder, {"video": 1.0}, {"video": 1}, seed=0)

    def batch_size(self, step: int) -> int:
        """Samples of a step."""
        return self.settings.batch_size

    def batches(self, shares: Iterable[Share]) -> Iterator[FlowBatch]:
        """Latents, noise and tokens; every draw is a function of (seed, step, number)."""
        for share in shares:
            numbers = list(share.samples)
            seeds = [[self.settings.trainer.seed, share.step, number] for number in numbers]
            yield self.prepare(self.cache.batch(share.step, numbers), seeds)

    def prepare(self, batch: LatentBatch, seeds: Sequence[Sequence[int]]) -> FlowBatch:
        """Noise, caption dropout and tokens for a batch of latents, each sample by its own seed."""
        draws = [np.random.default_rng(seed) for seed in seeds]
        dropped = [rng.random() < self.settings.caption_dropout for rng in draws]
        conditions = self._conditions(batch.bucket)
        captions = [
            wrap_caption("" if drop else caption, conditions)
            for drop, caption in zip(dropped, batch.captions, strict=True)
        ]
        ids, mask = tokenize(self.tokenizer, captions, max_length=self.settings.text.length)
        eps = [
            torch.randn(latent.shape, generator=Generator().manual_seed(int(rng.integers(2**63))))
            for latent, rng in zip(batch.latents, draws, strict=True)
        ]
        sigma = torch.full((len(draws),), self.settings.noise_std)
        return {
            "latents": batch.latents,
            "eps": torch.stack(eps),
            "sigma": sigma,
            "ids": ids,
            "mask": mask,
        }

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: FlowBatch,
        backward: Callable[[Tensor], None],
    ) -> Mapping[str, Tensor]:
        """The flow's likelihood, then the denoiser on the gradient that it left in x."""
        sigma = batch["sigma"]
        text = embed_tokens(modules["text_encoder"], batch["ids"], batch["mask"])
        x = add_noise(batch["latents"], sigma, batch["eps"]).requires_grad_()
        z, log_det = modules["flow"](x, text, return_dict=False)
        nll = negative_log_likelihood(z, log_det)
        weight = noise_weight(sigma) if self._told("noise_std") else torch.ones_like(sigma)
        backward((weight * nll).mean())
        assert x.grad is not None
        target = score_target(x.grad * x.numel() / per_sample(weight, x), sigma)
        prediction = modules["denoiser"](x.detach(), text.detach())
        error = flow_score_matching(prediction, target)
        backward(error)
        return {"nll": nll.mean(), "score_error": error, "score_power": target.square().mean()}

    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Held-out likelihood, and videos of captions never trained on, checked and drawn."""
        numbers = list(range(self.settings.samples))
        batch = self.prepare(self.held_out.batch(0, numbers), [[0, number] for number in numbers])
        measured = measure_held_out(self.flow, self.denoiser, self.text_encoder, batch)
        captions = held_out_captions(len(numbers), seed=self.settings.data.seed)
        return measured | sample_captions(self.pipeline(), captions, folder)

    def export(self, folder: Path) -> None:
        """The pipeline, its big parts in half precision."""
        pipeline = self.pipeline()
        for name in ("flow", "denoiser", "vae"):
            weights = getattr(pipeline, name)
            half = type(weights).from_config(weights.config)
            half.load_state_dict(weights.state_dict())
            pipeline.register_modules(**{name: half.half()})
        pipeline.save_pretrained(folder)

    def pipeline(self) -> StarFlowVPipeline:
        """The parts as they are now, as a pipeline."""
        settings, data = self.settings, self.settings.data
        frames = 1 + (data.num_frames - 1) // self.codec.temporal_factor
        pipeline = StarFlowVPipeline(
            self.flow,
            self.denoiser,
            self.vae,
            self.text_encoder,
            self.tokenizer,
            noise_std=settings.noise_std,
            temporal_scale=self.codec.temporal_scale,
            frame_rate=data.fps,
            num_frames=data.num_frames,
            height=data.height,
            width=data.width,
            guidance_scale=settings.guidance_scale,
            text_length=settings.text.length,
            conditions=list(settings.conditions),
            tasks=list(data.tasks),
            window_frames=frames,
            window_overlap=frames - 1,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _part(self, module: nn.Module, optimizer: Optimizer) -> Part:
        decay = self.settings.average_decay
        return Part(module=module, optimizer=optimizer, average_decay=decay)

    def _adamw(self, module: nn.Module, lr: float) -> Optimizer:
        decay = self.settings.weight_decay
        return AdamW(module.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=decay)

    def _matrix_optimizer(self, module: nn.Module, lr: float) -> Optimizer:
        """AdamW, or Muon for the matrices if it has a learning rate."""
        muon_lr, decay = self.settings.muon_lr, self.settings.weight_decay
        if muon_lr is None:
            return self._adamw(module, lr)
        return Muon(module.parameters(), lr=muon_lr, adam_lr=lr, weight_decay=decay)

    def _told(self, condition: str) -> bool:
        return condition in self.settings.conditions

    def _conditions(self, bucket: str) -> Conditions:
        data = self.settings.data
        fps = 0 if bucket == "image" else data.fps
        ratio = nearest_aspect_ratio(data.height, data.width)
        return Conditions(
            task=TASK_OF_BUCKET[bucket],
            fps=fps if self._told("fps") else None,
            aspect_ratio=ratio if self._told("aspect_ratio") else None,
            noise_std=self.settings.noise_std if self._told("noise_std") else None,
        )

    def _build_cache(self) -> None:
        """Encode what the cache lacks: each task's clips, and a shard that is never trained on."""
        data = self.settings.data
        fingerprint = cache_fingerprint(self.settings)
        held_out = Path(data.cache) / HELD_OUT
        for bucket in data.tasks:
            encode = self._encoder(bucket, seed=data.seed)
            count = data.shards(bucket)
            build_shards(Path(data.cache), bucket, count, encode, fingerprint=fingerprint)
        encode = self._encoder("video", seed=data.seed + 1, held_out=True)
        build_shards(held_out, "video", 1, encode, fingerprint=fingerprint)

    def _encoder(
        self, bucket: str, *, seed: int, held_out: bool = False
    ) -> Callable[[int], Encoded]:
        data = self.settings.data
        stream = StreamSettings(
            num_frames=data.num_frames, height=data.height, width=data.width, fps=data.fps
        )
        return scene_encoder(
            self.codec,
            bucket,
            seed=seed,
            shard_size=SHARD,
            settings=stream,
            held_out=held_out,
        )


def temporal_scale(settings: FlowSettings) -> float:
    """The factor of later latent frames: as set, or as the codec's training measured it."""
    if settings.temporal_scale is not None:
        return settings.temporal_scale
    statistics = Path(settings.vae) / "statistics.json"
    if not statistics.is_file():
        raise ValueError(
            f"{settings.vae} has no statistics.json, which train-vae writes: set temporal_scale "
            "(1.0 leaves the latents as they are)"
        )
    return float(json.loads(statistics.read_text("utf-8"))["temporal_scale"])


def cache_fingerprint(settings: FlowSettings) -> str:
    """All that the cached latents depend on: the codec, its scale, the scenes and their sizes."""
    data = settings.data
    sizes = f"{data.num_frames}x{data.height}x{data.width} at {data.fps} fps"
    codec = folder_fingerprint(settings.vae)
    return f"codec {codec}, scale {temporal_scale(settings):g}, seed {data.seed}, {sizes}"
