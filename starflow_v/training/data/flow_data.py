"""What a flow is trained on: cached latents, what captions tell about them, and held-out ones.

The latents of every task and size are made once, by `FlowData.build`, and read from the disk from
then on. The cache depends on the *encoder side* of the codec (see `data.fingerprint`), on the scale
of later frames, and on how clips are chosen; with any of them changed it is refused. A codec whose
decoder alone was trained on may go on using it.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from starflow_v.checkpoints.parts import VAES
from starflow_v.data.buckets import Bucket
from starflow_v.data.fingerprint import encoder_fingerprint
from starflow_v.data.latent_cache import LatentCache, LatentSource, latent_plan
from starflow_v.data.shards import build_shards, sign, wait_for_shards
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.processes import this_process
from starflow_v.text import CaptionPatterns, Conditions, Task, nearest_aspect_ratio
from starflow_v.vae import Codec, PixelCodec, codec_for

if TYPE_CHECKING:
    from starflow_v.training.flow_settings import LatentSettings

HELD_OUT = "held-out"
"""Folder inside the cache with the clips that are measured and never trained on."""

MARKERS: dict[str, Task | None] = {
    "video": None,
    "image": None,
    "extend": "extend",
    "last": "last",
    "v2v": "v2v",
    "v2v_start": "v2v",
    "v2v_image": "v2v",
}
"""Task -> what stands before its captions."""


class Corpus(NamedTuple):
    """Samples in one folder."""

    folder: Path
    source: LatentSource
    tasks: Sequence[str]


class FlowData(ABC):
    """The data of one run. Subclasses say where clips come from."""

    def __init__(self, settings: LatentSettings, codec: Codec) -> None:
        self.settings = settings
        self.codec = codec
        self.folder = Path(settings.data.cache)

    @abstractmethod
    def corpora(self) -> AbstractContextManager[Sequence[Corpus]]:
        """All that has to be encoded, ready to be read while the context lasts."""

    @abstractmethod
    def shards(self, *, held_out: bool) -> Mapping[str, int]:
        """Task -> how many shards it has; of what is held out, only tasks that are measured."""

    @abstractmethod
    def words(self) -> Iterable[str]:
        """What the small text encoder's vocabulary is made of."""

    @abstractmethod
    def sample(self, pipeline: StarFlowVPipeline, count: int, folder: Path) -> Mapping[str, float]:
        """Make videos of captions that are not trained on, draw them into `folder`, measure
        them."""

    @property
    def caption_patterns(self) -> CaptionPatterns | None:
        """The captions among which the pipeline finds what a source shows; `None`: instructions do
        not tell it."""
        return None

    @cached_property
    def latents(self) -> LatentCache:
        """The latents that are trained on; what is missing on the disk is made first."""
        self.build()
        weights, seed = self.settings.data.wanted, self.settings.trainer.seed
        return LatentCache(self.folder, weights, self.shards(held_out=False), seed=seed)

    @cached_property
    def held_out(self) -> LatentCache:
        """Latents that are never trained on; those that are, if nothing is held out."""
        self.build()
        shards = self.shards(held_out=True)
        if not shards:
            return self.latents
        return LatentCache(self.folder / HELD_OUT, dict.fromkeys(shards, 1.0), shards, seed=0)

    def build(self, *, wait: bool = True) -> None:
        """Make the latents that are missing and this process's to make; then wait for others'."""
        process = this_process()
        codec = codec_fingerprint(self.codec)
        with self.corpora() as corpora, on_accelerator(self.codec.vae):
            for folder, source, tasks in corpora:
                sign(folder, f"{codec}, {source.fingerprint}")
                for task in tasks:
                    build_shards(folder, latent_plan(source, task), process=process)
            if wait and process.count > 1:
                for folder, source, tasks in corpora:
                    wait_for_shards(folder, [latent_plan(source, task) for task in tasks])

    def missing(self) -> int:
        """Shards that are still to be made."""
        with self.corpora() as corpora:
            return sum(
                len(latent_plan(source, task).missing(folder))
                for folder, source, tasks in corpora
                for task in tasks
            )

    def conditions(self, bucket: Bucket) -> Conditions:
        """What the captions of a bucket tell."""
        told, settings = self.settings.conditions, self.settings
        fps = 0 if bucket.task == "image" else settings.data.fps
        return Conditions(
            task=MARKERS[bucket.task],
            fps=fps if "fps" in told else None,
            aspect_ratio=nearest_aspect_ratio(*bucket.size) if "aspect_ratio" in told else None,
            noise_std=settings.noise_std if "noise_std" in told else None,
        )


def load_codec(settings: LatentSettings) -> Codec:
    """The codec of a run, frozen."""
    if settings.pixels is not None:
        return codec_for(PixelCodec(**asdict(settings.pixels)).eval())
    assert settings.vae is not None, "the settings have one or the other"
    config = Path(settings.vae) / "config.json"
    kind = json.loads(config.read_text("utf-8"))["_class_name"] if config.is_file() else ""
    if kind not in VAES:
        raise ValueError(
            f"{settings.vae} is no folder of a VAE: expected its config.json, whose _class_name is "
            f"{', '.join(VAES)}"
        )
    vae = VAES[kind].from_pretrained(settings.vae).eval().requires_grad_(False)
    return codec_for(vae, temporal_scale=temporal_scale(settings, settings.vae))


def temporal_scale(settings: LatentSettings, vae: str) -> float:
    """The factor of later latent frames: as set, or as the codec's training measured it."""
    if settings.temporal_scale is None and settings.data.num_frames == 1:
        return 1.0
    if settings.temporal_scale is not None:
        return settings.temporal_scale
    statistics = Path(vae) / "statistics.json"
    if not statistics.is_file():
        raise ValueError(
            f"{vae} has no statistics.json, which train-vae writes: set temporal_scale "
            "(1.0 leaves the latents as they are)"
        )
    return float(json.loads(statistics.read_text("utf-8"))["temporal_scale"])


def codec_fingerprint(codec: Codec) -> str:
    """What latents depend on but for the clips: the encoder and the scale of later frames."""
    return f"encoder {encoder_fingerprint(codec.vae)}, scale {codec.temporal_scale:g}"


@contextmanager
def on_accelerator(module: nn.Module) -> Iterator[None]:
    """Bring a module to this process's accelerator, if there is one, and back."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        yield
        return
    place = torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", 0)))
    with on_device(module, place):
        yield


@contextmanager
def on_device(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Bring a module to a device, and back to its own."""
    own = device_of(module)
    module.to(device)
    try:
        yield
    finally:
        module.to(own)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are."""
    return next(module.parameters()).device
