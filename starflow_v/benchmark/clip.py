"""One clip, stage by stage: text -> deep -> shallow -> denoise -> decode -> file.

Every stage works on all frames before the next one begins, as a pipeline's call does it; what each
made is kept, so that it can be checked.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from starflow_v.benchmark.stopwatch import Clock, Stopwatch, synchronize
from starflow_v.data.pixels import to_clips
from starflow_v.data.video_io import VideoWriter
from starflow_v.flow.guidance import DensityGuidance
from starflow_v.flow.solver import Cost, Solver
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import Window
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.sampling.stages import (
    DeepStage,
    DenoiseStage,
    Frames,
    ShallowStage,
    gather,
)

STAGES = ("text", "deep", "shallow", "denoise", "decode", "file")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is made."""

    prompt: str
    height: int
    """Pixels."""
    width: int
    num_frames: int
    """Pixel frames."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a model is told of a clip, and so its stages.

    Args:
        texts: what the deep block reads.
        restart: the same from its first restart on; `None`: no other.
        window: when it restarts.
        guidance: with which rule.
    """

    texts: Texts
    restart: Texts | None
    window: Window | None
    guidance: DensityGuidance

    def deep(self, pipe: StarFlowVPipeline, solver: Solver, *, frames: int) -> DeepStage:
        """z -> u, of so many latent frames."""
        return DeepStage(
            pipe.flow,
            self.texts.text,
            frames=frames,
            solver=solver,
            null_text=self.texts.null_text,
            guidance=self.guidance,
            window=self.window,
            restart=self.restart,
        )

    def denoise(self, pipe: StarFlowVPipeline) -> DenoiseStage:
        """Noisy latents -> clean ones."""
        return DenoiseStage(pipe.cleaner, self.texts.text, self.window, later=self.restart)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A clip with all that led to it.

    Args:
        z: noise, (1, T, c, h, w).
        u: between the halves, like z.
        x: noisy latents, like z.
        told: what the model was told.
        deep: what solving it took.
        shallow: what solving the shallow blocks took.
        seconds: of each stage, and the `total`.
    """

    z: Tensor
    u: Tensor
    x: Tensor
    told: Told
    deep: Cost
    shallow: Cost
    seconds: dict[str, float]


@torch.no_grad()
def make_clip(
    pipe: StarFlowVPipeline,
    clip: Clip,
    solver: Solver,
    weight: float,
    *,
    whole: bool = True,
    clock: Clock = time.perf_counter,
) -> Made:
    """Make a clip by one solver.

    Args:
        pipe: the model.
        clip: what is made.
        solver: of both halves.
        weight: w of density guidance.
        whole: `False` ends with x: nothing is denoised, decoded or written.
        clock: what counts the seconds; `time.process_time` does not count other programs'.
    """
    device, frames = pipe.device, pipe.codec.latent_frames(clip.num_frames)
    watch = Stopwatch(device, clock)
    synchronize(device)
    begun = clock()
    with watch.of("text"):
        told = _told(pipe, clip, DensityGuidance(weight), pipe.window_for(frames))
    noise = torch.cat(list(_noise(pipe, clip, frames)), dim=1)
    deep, shallow = told.deep(pipe, solver, frames=frames), ShallowStage(pipe.flow, solver)
    solved = list(watch.watch("deep", deep(iter(noise.split(1, dim=1)))))
    together = gather(iter(solved), at_most=None if told.window is None else told.window.frames)
    u, x = (
        torch.cat(it, dim=1) for it in (solved, list(watch.watch("shallow", shallow(together))))
    )
    if whole:
        _finish(pipe, clip, x, told, watch)
    synchronize(device)
    total = clock() - begun
    return Made(
        z=noise,
        u=u,
        x=x,
        told=told,
        deep=deep.cost,
        shallow=shallow.cost,
        seconds={name: watch.seconds.get(name, 0.0) for name in STAGES} | {"total": total},
    )


def _told(
    pipe: StarFlowVPipeline, clip: Clip, guidance: DensityGuidance, window: Window | None
) -> Told:
    tells = pipe.extends and window is not None
    return Told(
        texts=_texts(pipe, clip, guidance, restarted=False),
        restart=_texts(pipe, clip, guidance, restarted=True) if tells else None,
        window=window,
        guidance=guidance,
    )


def _texts(
    pipe: StarFlowVPipeline, clip: Clip, guidance: DensityGuidance, *, restarted: bool
) -> Texts:
    """What the deep block is told, in the beginning or from its first restart on."""
    conditions = pipe.conditions_for(
        height=clip.height,
        width=clip.width,
        num_frames=clip.num_frames,
        task="extend" if restarted else None,
    )
    text, null_text = pipe.encode_prompt(
        clip.prompt, do_classifier_free_guidance=guidance.active, conditions=conditions
    )
    return Texts(text, null_text)


def _noise(pipe: StarFlowVPipeline, clip: Clip, frames: int) -> Frames:
    factor = pipe.codec.spatial_factor
    return noise_frames(
        seed_children(Generator().manual_seed(clip.seed), 1),
        (pipe.codec.channels, clip.height // factor, clip.width // factor),
        frames=frames,
        device=pipe.device,
    )


def _finish(pipe: StarFlowVPipeline, clip: Clip, x: Tensor, told: Told, watch: Stopwatch) -> None:
    """From noisy latents to a file that is thrown away."""
    clean = watch.watch("denoise", told.denoise(pipe)(iter([x])))
    pixels = list(watch.watch("decode", pipe.codec.decode_stream(clean)))
    with watch.of("file"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("clip.mp4" if clip.num_frames > 1 else "clip.png")
        with VideoWriter(path, fps=pipe.defaults.frame_rate) as writer:
            writer.write(to_clips(torch.cat(pixels, dim=1).float())[0])
