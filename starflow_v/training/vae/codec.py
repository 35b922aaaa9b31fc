"""Training the codec of the embedded model: a small causal VAE on procedural scenes.

A curriculum goes from stills over short clips to whole ones: stills teach colours and edges at a
seventeenth of the price. Samples are scenes rendered on the fly, number i of a seed, including the
sources of edits (outlined, blurred, masked), because the codec has to encode those too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from starflow_v.config import load_config, to_dictionary
from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.pixels import Clip, to_clips, to_frames
from starflow_v.data.scenes import SceneStream
from starflow_v.training.engine.muon import Muon
from starflow_v.training.engine.recipe import Part, Share
from starflow_v.training.engine.state import module_state, restore_module
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.resuming import resumed_if_begun
from starflow_v.training.vae.autoencoder import (
    Autoencoder,
    LatentStatistics,
    latent_statistics,
    save_autoencoder,
    use_channels_last,
)
from starflow_v.training.vae.clips import HELD_OUT_SEED, choose_stretch, held_out_clips, sample_hard
from starflow_v.training.vae.reconstruction import psnr, pyramid_loss, reconstruction_loss
from starflow_v.training.vae.settings import CodecSettings

EVALUATION_NOISE = 0.1
"""Noise on latents in the second measurement, in their standard deviations, unless the decoder is
trained for a level of its own."""
STATISTICS_CLIPS = 256
"""Clips that the exported statistics are taken over."""


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
        vae, statistics = settings.model.build(), None
        if settings.initialize is not None:
            restore_module(vae, module_state(_open(Path(settings.initialize))))
        if settings.freeze_encoder and settings.initialize is not None:
            statistics = LatentStatistics.read(Path(settings.initialize))
        self.model = Autoencoder(vae, statistics)
        use_channels_last(self.model)
        if settings.freeze_encoder:
            self.model.vae.encoder.requires_grad_(False)
            self.model.vae.quant_conv.requires_grad_(False)
        trained = [it for it in self.model.parameters() if it.requires_grad]
        part = Part(
            module=self.model,
            optimizer=Muon(trained, lr=settings.lr, adam_lr=settings.adam_lr),
            average_decay=settings.average_decay,
            sometimes_unused=True,  # stills do not reach what changes the frame rate
        )
        self.parts: Mapping[str, Part] = {"codec": part}
        self.stream = SceneStream(settings.trainer.seed, settings.data)

    def batch_size(self, step: int) -> int:
        """Clips of a step."""
        return self.settings.stage(step).batch_size

    def batches(self, shares: Iterable[Share]) -> Iterator[CodecBatch]:
        """Render each share when it is its turn."""
        largest = max(stage.batch_size for stage in self.settings.curriculum)
        for share in shares:
            frames = self.settings.stage(share.step).frames
            made = [self._sample(share.step * largest + number, frames) for number in share.samples]
            clips, noise = zip(*made, strict=True)
            yield CodecBatch(to_frames(clips), torch.from_numpy(np.stack(noise)))

    def _sample(self, index: int, num_frames: int) -> tuple[Clip, NDArray[np.float32]]:
        """Sample number `index`: a stretch of a clip, and noise whose level is drawn too."""
        rng = np.random.default_rng([self.settings.trainer.seed, index, 1])
        hard = rng.uniform() < self.settings.hard_share
        sample = sample_hard(self.stream, index) if hard else self.stream.sample(index)
        clip = choose_stretch(rng, sample, num_frames)
        level = rng.uniform(self.settings.noise_floor, self.settings.latent_noise)
        noise = level * rng.standard_normal(self.settings.latent_shape(num_frames))
        return clip, noise.astype(np.float32)

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: CodecBatch,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """One pass there and back."""
        reconstruction, latents = modules["codec"](batch.frames, batch.noise)
        loss = reconstruction_loss(reconstruction, batch.frames, detail=self.settings.detail)
        if self.settings.perceptual:
            loss = loss + self.settings.perceptual * pyramid_loss(reconstruction, batch.frames)
        backward(loss + self.settings.latent_penalty * latents.square().mean())
        return {
            "loss": loss.detach(),
            "psnr": psnr(reconstruction.detach(), batch.frames).mean(),
            "latent_std": latents.detach().std(),
        }

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """PSNR on held-out scenes, without and with noise on the latents; a picture to look at."""
        frames = next(held_out_clips(self.settings.data, count=32, batch=32))
        generator = torch.Generator().manual_seed(HELD_OUT_SEED)
        shape = len(frames), *self.settings.latent_shape(frames.shape[1])
        level = self.settings.noise_floor or EVALUATION_NOISE
        noise = level * torch.randn(shape, generator=generator)
        device = next(self.model.parameters()).device
        clean, noisy = (
            self.model(frames.to(device), it.to(device))[0].float().cpu().clamp(-1, 1)
            for it in (torch.zeros_like(noise), noise)
        )
        pairs = to_clips(torch.cat([frames[:6], clean[:6]], dim=3))
        Image.fromarray(contact_sheet(list(pairs), columns=6)).save(folder / "clips.png")
        return {
            "psnr": float(psnr(clean, frames).mean()),
            "psnr_noisy_latents": float(psnr(noisy, frames).mean()),
        }

    def export(self, folder: Path) -> None:
        """The VAE in diffusers' layout, with `statistics.json` beside its configuration."""
        dtype = getattr(torch, self.settings.export_dtype)
        save_autoencoder(self.model.vae, folder, self._statistics(), dtype=dtype)

    def _statistics(self) -> LatentStatistics:
        """Of scenes, or, where the encoder is frozen, those that it came with."""
        if self.settings.freeze_encoder and self.settings.initialize is not None:
            return LatentStatistics.read(Path(self.settings.initialize))
        clips = held_out_clips(self.settings.data, count=STATISTICS_CLIPS, batch=16)
        return latent_statistics(self.model.vae, clips)


def _open(folder: Path) -> AutoencoderKLWan:
    """The VAE that training begins with."""
    config = folder / "config.json"
    kind = json.loads(config.read_text("utf-8")).get("_class_name") if config.is_file() else None
    if kind != AutoencoderKLWan.__name__:
        raise ValueError(
            f"{folder} holds {kind or 'no VAE'}: train-vae goes on with an AutoencoderKLWan, such "
            "as it makes itself (a flow takes an AutoencoderKL as it is)"
        )
    return AutoencoderKLWan.from_pretrained(folder)


def train_codec(config: str | Path, overrides: Sequence[str] = ()) -> Path | None:
    """Train (or go on training) the codec that a configuration describes.

    Returns the folder of the exported VAE, or None if the run was stopped before its last step.
    """
    trainer = _trainer(config, overrides)
    finished = trainer.run() == trainer.settings.steps
    return _export(trainer) if finished else None


def _trainer(config: str | Path, overrides: Sequence[str]) -> Trainer[CodecBatch]:
    settings = load_config(CodecSettings, config, overrides)
    recipe = CodecRecipe(resumed_if_begun(settings))
    return Trainer(recipe, settings.trainer, description=to_dictionary(settings))


def _export(trainer: Trainer[CodecBatch]) -> Path:
    folder = trainer.folder / "vae"
    trainer.export(folder)
    return folder
