"""Training the codec of the embedded model: a small causal VAE on procedural scenes.

A curriculum goes from stills over short clips to whole ones: stills teach colours and edges at a seventeenth of the
price. Samples are scenes rendered on the fly, number i of a seed, including the sources of edits (outlined, blurred,
masked), because the codec has to encode those too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from starflow_v.config import load_config, to_dictionary
from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights
from starflow_v.training.autoencoder import (
    Autoencoder,
    AutoencoderSettings,
    latent_statistics,
    save_autoencoder,
    use_channels_last,
)
from starflow_v.training.muon import Muon
from starflow_v.training.recipe import Part, Share
from starflow_v.training.reconstruction import psnr, reconstruction_loss
from starflow_v.training.settings import TrainerSettings
from starflow_v.training.trainer import Trainer

EVALUATION_SEED = 77
EVALUATION_NOISE = 0.1
STATISTICS_CLIPS = 256


@dataclass(frozen=True, kw_only=True)
class CurriculumStage:
    """A stretch of training on clips of one length."""

    steps: int
    """How long; the last stage lasts until the end."""
    frames: int
    """F, 1 + 4k."""
    batch_size: int
    """Clips a step, all processes together."""


@dataclass(frozen=True, kw_only=True)
class CodecSettings:
    """All of a codec's training."""

    trainer: TrainerSettings
    """Steps, folder, precision, intervals."""
    model: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    """The shape of the VAE."""
    data: StreamSettings = field(default_factory=StreamSettings)
    """The scenes; their task weights say how often which kind of clip is seen."""
    curriculum: list[CurriculumStage] = field(
        default_factory=lambda: [CurriculumStage(steps=1, frames=17, batch_size=4)]
    )
    """Stages in order."""
    lr: float = 0.02
    """Peak rate of Muon, for kernels and matrices."""
    adam_lr: float = 2e-3
    """Peak rate of AdamW, for everything else."""
    average_decay: float = 0.998
    """Decay of the averaged weights."""
    latent_noise: float = 0.12
    """Largest noise on latents in training, in their standard deviations; each clip draws its own level below it."""
    latent_penalty: float = 1e-4
    """Weight of the latents' mean square, which keeps them bounded."""
    detail: float = 3.0
    """Additional weight of pixels near edges."""
    freeze_encoder: bool = False
    """Train the decoder alone: latents stay what they are, so that a flow trained on them stays valid."""
    export_dtype: str = "float16"
    """Precision of the exported weights: float16, bfloat16 or float32."""

    def __post_init__(self) -> None:
        if not self.curriculum:
            raise ValueError("curriculum must have at least one stage")
        if self.export_dtype not in ("float16", "bfloat16", "float32"):
            raise ValueError(f"export_dtype must be float16, bfloat16 or float32, got {self.export_dtype!r}")


class CodecBatch(NamedTuple):
    """Clips and the noise on their latents, in standard deviations."""

    frames: Tensor
    """(B,F,3,H,W) in [-1,1]."""
    noise: Tensor
    """(B,T,c,h,w)."""


class CodecRecipe:
    """What the trainer asks about the codec."""

    def __init__(self, settings: CodecSettings) -> None:
        self.settings = settings
        torch.manual_seed(settings.trainer.seed)
        self.model = Autoencoder(settings.model.build())
        use_channels_last(self.model)
        if settings.freeze_encoder:
            self.model.vae.encoder.requires_grad_(False)
            self.model.vae.quant_conv.requires_grad_(False)
        trained = [it for it in self.model.parameters() if it.requires_grad]
        part = Part(
            module=self.model,
            optimizer=Muon(trained, lr=settings.lr, adam_lr=settings.adam_lr),
            average_decay=settings.average_decay,
            sometimes_unused=True,  # stills do not reach the convolutions that change the frame rate
        )
        self.parts: Mapping[str, Part] = {"codec": part}
        self.stream = SceneStream(settings.trainer.seed, settings.data)

    def stage(self, step: int) -> CurriculumStage:
        """The curriculum's stage at a step."""
        for stage in self.settings.curriculum:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.settings.curriculum[-1]

    def batch_size(self, step: int) -> int:
        """Clips of a step."""
        return self.stage(step).batch_size

    def batches(self, shares: Iterable[Share]) -> Iterator[CodecBatch]:
        """Render each share when it is its turn."""
        largest = max(stage.batch_size for stage in self.settings.curriculum)
        for share in shares:
            frames = self.stage(share.step).frames
            made = [self._sample(share.step * largest + number, frames) for number in share.samples]
            clips, noise = zip(*made, strict=True)
            yield CodecBatch(to_frames(clips), torch.from_numpy(np.stack(noise)))

    def _sample(self, index: int, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Sample number `index`: a stretch of a scene's clip (or of an edit's source), noise of random level."""
        rng = np.random.default_rng([self.settings.trainer.seed, index, 1])
        sample = self.stream.sample(index)
        use_source = sample.source is not None and rng.uniform() < 0.5
        clip = sample.source if use_source else sample.frames
        start = int(rng.integers(0, len(clip) - num_frames + 1))
        model, data = self.settings.model, self.settings.data
        factor = model.patch_size * 2 ** (len(model.dim_mult) - 1)
        shape = (1 + (num_frames - 1) // 4, model.channels, data.height // factor, data.width // factor)
        level = rng.uniform(0, self.settings.latent_noise)
        noise = (level * rng.standard_normal(shape)).astype(np.float32)
        return clip[start : start + num_frames], noise

    def backward(
        self, modules: Mapping[str, nn.Module], batch: CodecBatch, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """One pass there and back."""
        reconstruction, latents = modules["codec"](batch.frames, batch.noise)
        loss = reconstruction_loss(reconstruction, batch.frames, detail=self.settings.detail)
        backward(loss + self.settings.latent_penalty * latents.square().mean())
        return {
            "loss": loss.detach(),
            "psnr": psnr(reconstruction.detach(), batch.frames).mean(),
            "latent_std": latents.detach().std(),
        }

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """PSNR on held-out scenes, without and with noise on the latents; a picture to look at."""
        frames = next(held_out_clips(self.settings.data, count=32, batch=32))
        model, data = self.settings.model, frames.shape
        factor = model.patch_size * 2 ** (len(model.dim_mult) - 1)
        shape = (data[0], 1 + data[1] // 4, model.channels, data[3] // factor, data[4] // factor)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(EVALUATION_SEED))
        device = next(self.model.parameters()).device
        clean, _ = self.model(frames.to(device), 0 * noise.to(device))
        noisy, _ = self.model(frames.to(device), EVALUATION_NOISE * noise.to(device))
        both = torch.cat([frames[:6], clean[:6].float().cpu().clamp(-1, 1)], dim=3)
        Image.fromarray(contact_sheet(list(to_pixels(both)), columns=6)).save(folder / "clips.png")
        return {
            "psnr": float(psnr(clean.cpu(), frames).mean()),
            "psnr_noisy_latents": float(psnr(noisy.cpu(), frames).mean()),
        }

    def export(self, folder: Path) -> None:
        """The VAE in diffusers' layout, with `statistics.json` beside its configuration."""
        clips = held_out_clips(self.settings.data, count=STATISTICS_CLIPS, batch=16)
        statistics = latent_statistics(self.model.vae, clips)
        dtype = getattr(torch, self.settings.export_dtype)
        save_autoencoder(self.model.vae, folder, statistics, dtype=dtype)
        (folder / "statistics.json").write_text(json.dumps(asdict(statistics)), encoding="utf-8")


def train_codec(config: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Train (or go on training) the codec that a configuration describes; returns the exported VAE's folder."""
    trainer = _trainer(config, overrides)
    trainer.run()
    return _export(trainer)


def export_codec(config: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Export the newest checkpoint of a run that may still be going on; returns the VAE's folder."""
    trainer = _trainer(config, overrides)
    if not trainer.resume():
        raise ValueError(f"no checkpoint in {trainer.checkpoints}: train first")
    return _export(trainer)


def _trainer(config: str | Path, overrides: Sequence[str]) -> Trainer[CodecBatch]:
    settings = load_config(CodecSettings, config, overrides)
    return Trainer(CodecRecipe(settings), settings.trainer, description=to_dictionary(settings))


def _export(trainer: Trainer[CodecBatch]) -> Path:
    folder = trainer.folder / "vae"
    trainer.export(folder)
    return folder


def held_out_clips(data: StreamSettings, *, count: int, batch: int) -> Iterator[Tensor]:
    """Clips (B,F,3,H,W) of scenes that training never shows."""
    videos = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    stream = SceneStream(EVALUATION_SEED, _with_tasks(data, videos), held_out=True)
    for first in range(0, count, batch):
        numbers = range(first, min(first + batch, count))
        yield to_frames([stream.sample(number).frames for number in numbers])


def _with_tasks(data: StreamSettings, tasks: TaskWeights) -> StreamSettings:
    return StreamSettings(**{**{name: getattr(data, name) for name in data.__dataclass_fields__}, "tasks": tasks})


def to_frames(clips: Sequence[np.ndarray]) -> Tensor:
    """Clips of uint8 pixels (F,H,W,3) -> frames (B,F,3,H,W) in [-1,1]."""
    return torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def to_pixels(frames: Tensor) -> np.ndarray:
    """Frames (B,F,3,H,W) in [-1,1] -> uint8 pixels (B,F,H,W,3)."""
    return ((frames + 1) * 127.5).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
