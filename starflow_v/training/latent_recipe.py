"""What all recipes on cached latents share: data, captions, batches, optimizers, the export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW, Optimizer

from starflow_v.data.buckets import BEGUN, OF_PAIRS
from starflow_v.data.latent_cache import LatentBatch, LatentCache
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.text import wrap_caption
from starflow_v.training.data.flow_data import device_of, load_codec, on_device
from starflow_v.training.data.sources import open_data
from starflow_v.training.engine.muon import Muon
from starflow_v.training.engine.recipe import Part, Share
from starflow_v.training.flow_settings import LatentSettings
from starflow_v.training.flow_text import FlowText, open_text

NOISE = 2
"""Sets the draws of noise and caption dropout apart from those that choose a step's samples."""
Batch = Mapping[str, Tensor]
"""latents and eps (B,T,c,h,w), the captions (see `flow_text`), of edits the number of latent frames
that are given, () and all places (T,); and what a recipe adds."""


class LatentRecipe:
    """Captioned latents, ready to be learned. A subclass says what learns them."""

    parts: Mapping[str, Part]
    """What is trained; `flow` is the main network's name."""

    def __init__(self, settings: LatentSettings) -> None:
        torch.manual_seed(settings.trainer.seed)
        self.settings = settings
        self.codec = load_codec(settings)
        self.vae = self.codec.vae
        self.data = open_data(settings, self.codec)
        self.text: FlowText = open_text(settings, self.data)
        self.text_encoder, self.tokenizer = self.text.encoder, self.text.tokenizer

    @property
    def exported(self) -> str:
        """Name of the folder, in the run's, of what is exported at the end."""
        return "pipeline"

    @property
    def cache(self) -> LatentCache:
        """The latents that are trained on; what is missing on the disk is made first."""
        return self.data.latents

    @property
    def held_out(self) -> LatentCache:
        """Latents that are never trained on."""
        return self.data.held_out

    def prepare_data(self) -> None:
        """Make the caches now, while Ctrl-C still ends the program."""
        self.prepare(self.held_out.batch(0, [0]), [[0, 0]])
        self.prepare(self.cache.batch(0, [0]), [[0, 0]])

    def batch_size(self, step: int) -> int:
        """Samples of a step."""
        return self.settings.batch_size

    def batches(self, shares: Iterable[Share]) -> Iterator[Batch]:
        """Latents, noise and tokens; every draw is a function of (seed, step, number)."""
        for share in shares:
            numbers = list(share.samples)
            seed = self.settings.trainer.seed
            seeds = [[seed, share.step, number, NOISE] for number in numbers]
            yield self.prepare(self.cache.batch(share.step, numbers), seeds)

    def prepare(self, batch: LatentBatch, seeds: Sequence[Sequence[int]]) -> Batch:
        """Noise, caption dropout and tokens for a batch of latents, each sample by its own seed."""
        draws = [np.random.default_rng(seed) for seed in seeds]
        dropped = [rng.random() < self.settings.caption_dropout for rng in draws]
        conditions = self.data.conditions(batch.bucket)
        captions = [
            wrap_caption("" if drop else caption, conditions)
            for drop, caption in zip(dropped, batch.captions, strict=True)
        ]
        eps = [
            self.noise(latent.shape, Generator().manual_seed(int(rng.integers(2**63))))
            for latent, rng in zip(batch.latents, draws, strict=True)
        ]
        return {
            "latents": batch.latents,
            "eps": torch.stack(eps),
            **self._of_edits(batch),
            **self.text.prepare(captions),
            **self.more(draws, batch),
        }

    def _of_edits(self, batch: LatentBatch) -> Batch:
        """How many latent frames are the source; where clips are only begun, the frames of both
        stand where those of whole clips do."""
        if batch.bucket.task not in OF_PAIRS:
            return {}
        given = torch.arange(batch.latents.shape[1] // 2)
        length = self.codec.latent_frames(self.settings.data.num_frames)
        return {"given": torch.tensor(len(given)), "places": torch.cat((given, length + given))}

    def held_out_batch(self, count: int) -> Batch:
        """The first held-out samples, always the same, where the networks are."""
        numbers = list(range(count))
        batch = self.prepare(self.held_out.batch(0, numbers), [[0, number] for number in numbers])
        return {name: it.to(self.device) for name, it in batch.items()}

    def sample(self, count: int, folder: Path) -> Mapping[str, float]:
        """Make samples with the networks as they are now, and measure them, see `FlowData`."""
        with on_device(self.vae, self.device), on_device(self.text_encoder, self.device):
            return self.data.sample(self.pipeline(), count, folder)

    @property
    def device(self) -> torch.device:
        """Where the trained networks are: the engine moves them."""
        return device_of(self.parts["flow"].module)

    def noise(self, shape: torch.Size, generator: Generator) -> Tensor:
        """Noise of standard deviation 1 for one sample."""
        return torch.randn(shape, generator=generator)

    def more(self, draws: Sequence[np.random.Generator], batch: LatentBatch) -> Batch:
        """What a recipe adds to a batch, with one generator for each sample."""
        return {}

    def export(self, folder: Path) -> None:
        """The pipeline, its big parts in half precision."""
        pipeline = self.pipeline()
        for name in ("flow", "denoiser", "vae"):
            weights = getattr(pipeline, name)
            if weights is None:
                continue
            half = type(weights).from_config(weights.config)
            half.load_state_dict(weights.state_dict())
            pipeline.register_modules(**{name: half.half()})
        pipeline.save_pretrained(folder)

    def pipeline(self) -> StarFlowVPipeline:
        """The parts as they are now, as a pipeline."""
        raise NotImplementedError

    def pipeline_settings(self) -> dict[str, Any]:
        """What the pipeline's configuration says of the training."""
        settings, data = self.settings, self.settings.data
        frames = 1 + (data.num_frames - 1) // self.codec.temporal_factor
        return {
            "noise_std": settings.noise_std,
            "temporal_scale": self.codec.temporal_scale,
            "frame_rate": data.fps,
            "num_frames": data.num_frames,
            "height": data.height,
            "width": data.width,
            "guidance_scale": settings.guidance_scale,
            "text_length": settings.text.length,
            "conditions": list(settings.conditions),
            "tasks": [task for task in data.wanted if task not in BEGUN],
            "window_frames": frames,
            "window_overlap": frames - 1,
        }

    def _part(self, module: nn.Module, optimizer: Optimizer, *, only_trained: bool = False) -> Part:
        decay = self.settings.average_decay
        return Part(
            module=module, optimizer=optimizer, average_decay=decay, only_trained=only_trained
        )

    def _adamw(self, module: nn.Module, lr: float) -> Optimizer:
        decay = self.settings.weight_decay
        trained = [it for it in module.parameters() if it.requires_grad]
        return AdamW(trained, lr=lr, betas=(0.9, 0.95), weight_decay=decay)

    def _matrix_optimizer(self, module: nn.Module, lr: float) -> Optimizer:
        """AdamW, or Muon for the matrices if it has a learning rate."""
        muon_lr, decay = self.settings.muon_lr, self.settings.weight_decay
        if muon_lr is None:
            return self._adamw(module, lr)
        trained = [it for it in module.parameters() if it.requires_grad]
        return Muon(trained, lr=muon_lr, adam_lr=lr, weight_decay=decay)

    def _told(self, condition: str) -> bool:
        return condition in self.settings.conditions
