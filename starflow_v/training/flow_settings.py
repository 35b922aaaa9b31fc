"""The configuration of a flow's training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from starflow_v.data.scene_latents import BUCKETS
from starflow_v.training.engine.settings import TrainerSettings

SHARD = 256
"""Clips in a shard of the cache."""


@dataclass(frozen=True, kw_only=True)
class FlowShape:
    """The flow's architecture, see `starflow_v.StarFlowModel`; the codec gives the channels."""

    patch_size: int = 1
    shallow_width: int = 128
    deep_width: int = 192
    shallow_layers: list[int] = field(default_factory=lambda: [2, 2])
    deep_layers: int = 6
    head_dim: int = 64
    reference_size: float = 4.0
    shallow_groups: int | None = None
    deep_groups: int | None = None


@dataclass(frozen=True, kw_only=True)
class DenoiserShape:
    """The denoiser's architecture, see `starflow_v.CausalDenoiser`."""

    width: int = 128
    layers: int = 4
    head_dim: int = 64
    window: int = 10
    lookahead_layers: int = 1


@dataclass(frozen=True, kw_only=True)
class TextShape:
    """The text encoder, trained with the flow."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    length: int = 32
    """Tokens of a caption."""


@dataclass(frozen=True, kw_only=True)
class SceneData:
    """Procedural scenes, encoded once into a cache of latents."""

    cache: str = "runs/latents"
    """Folder of the cache; what is missing is made before the first step."""
    seed: int = 0
    num_frames: int = 17
    height: int = 64
    width: int = 64
    fps: int = 8
    tasks: dict[str, float] = field(default_factory=lambda: {"video": 1.0})
    """Task -> how often a batch is of it, relative to the others."""
    clips: dict[str, int] = field(default_factory=lambda: {"video": 4096})
    """Task -> clips in the cache, rounded up to whole shards."""

    def __post_init__(self) -> None:
        unknown = sorted(self.tasks.keys() - set(BUCKETS))
        if unknown:
            raise ValueError(f"tasks {unknown} are not known: choose from {', '.join(BUCKETS)}")
        without = sorted(self.tasks.keys() - self.clips.keys())
        if without:
            raise ValueError(f"clips says nothing about {', '.join(without)}: how many to encode?")

    def shards(self, task: str) -> int:
        """How many shards of the cache a task has."""
        return -(-self.clips[task] // SHARD)


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """Everything that a run needs."""

    trainer: TrainerSettings
    vae: str
    """Folder of the trained VAE."""
    initialize: str | None = None
    """Folder of a pipeline whose weights a new run begins with; its shapes must be the same."""
    data: SceneData = field(default_factory=SceneData)
    flow: FlowShape = field(default_factory=FlowShape)
    denoiser: DenoiserShape = field(default_factory=DenoiserShape)
    text: TextShape = field(default_factory=TextShape)
    conditions: list[str] = field(default_factory=lambda: ["fps"])
    """What captions tell beside the prompt: fps, aspect_ratio, noise_std."""
    noise_std: float = 0.3
    """Standard deviation of the noise that is added to the latents."""
    temporal_scale: float | None = None
    """Factor of the latent frames after the first; None: as the VAE's statistics.json says."""
    caption_dropout: float = 0.1
    """Share of the captions that are left empty, for guidance."""
    batch_size: int = 32
    lr: float = 1e-3
    """Peak learning rate of the flow and the text encoder."""
    denoiser_lr: float = 1e-3
    """Peak learning rate of the denoiser."""
    muon_lr: float | None = None
    """Peak learning rate of Muon for the matrices of flow and denoiser; None: AdamW for all."""
    weight_decay: float = 1e-4
    average_decay: float = 0.999
    guidance_scale: float = 1.0
    """Default of the exported pipeline."""
    samples: int = 16
    """Captions that are sampled and checked at an evaluation."""
