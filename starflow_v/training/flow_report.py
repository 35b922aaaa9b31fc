"""What a flow's training run measures now and then: likelihood, denoising, captions, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor

from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights, canonical_caption
from starflow_v.denoiser import CausalDenoiser
from starflow_v.evaluation.scene_checker import check
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.training.objectives import add_noise, bits_per_dimension, negative_log_likelihood

ATTRIBUTES = ("color", "shape", "motion", "background", "all")


@torch.no_grad()
def measure_held_out(
    flow: StarFlowModel,
    denoiser: CausalDenoiser,
    text: Tensor,
    batch: Mapping[str, Tensor],
) -> dict[str, float]:
    """Likelihood in bits per latent dimension, and how near the clean latents denoising comes.

    Args:
        flow: the flow.
        denoiser: its denoiser.
        text: the batch's captions, (B,L,D).
        batch: latents and eps (B,T,c,h,w), sigma (B,).
    """
    clean = batch["latents"]
    x = add_noise(clean, batch["sigma"], batch["eps"])
    z, log_det = flow(x, text, return_dict=False)
    nll = negative_log_likelihood(z, log_det).mean()
    denoised = denoiser.denoise(x, text)
    return {
        "bits_per_dim": float(bits_per_dimension(nll)),
        "noise_rms": float((x - clean).square().mean().sqrt()),
        "denoised_rms": float((denoised - clean).square().mean().sqrt()),
    }


def held_out_captions(count: int, *, seed: int, moving: bool = True) -> list[str]:
    """Canonical captions of scenes that training never shows; without `moving`, of stills."""
    tasks = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    stream = SceneStream(seed, StreamSettings(tasks=tasks, two_objects=0.0), held_out=True)
    scenes = [stream.sample(index).scene for index in range(count)]
    return [canonical_caption(scene, moving=moving) for scene in scenes]


def sample_captions(
    pipeline: StarFlowVPipeline, captions: Sequence[str], folder: Path
) -> dict[str, float]:
    """Make a video of each caption of a scene, check it, and draw the first ones into `folder`.

    Returns:
        The share of clips in which each attribute is as the caption says.
    """
    clips = draw_samples(pipeline, captions, folder)
    verdicts = [check(clip, caption) for clip, caption in zip(clips, captions, strict=True)]
    return {
        f"right.{name}": float(
            np.mean([getattr(verdict, name) is not False for verdict in verdicts])
        )
        for name in ATTRIBUTES
    }


def draw_samples(
    pipeline: StarFlowVPipeline,
    captions: Sequence[str],
    folder: Path,
    *,
    num_frames: int | None = None,
    shown: int = 8,
) -> NDArray[np.uint8]:
    """A clip (F,H,W,3) of each caption, (B,F,H,W,3); the first ones drawn into
    `folder`/samples.png."""
    generators = [Generator().manual_seed(index) for index in range(len(captions))]
    videos, *_ = pipeline(
        list(captions), num_frames=num_frames, generator=generators, return_dict=False
    )
    clips = from_unit(np.asarray(videos))
    sheet = contact_sheet(list(clips[:shown]), labels=list(captions[:shown]))
    Image.fromarray(sheet).save(folder / "samples.png")
    return clips
