"""The configuration of a codec's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from starflow_v.data.scenes import StreamSettings
from starflow_v.training.engine.settings import TrainerSettings
from starflow_v.training.vae.autoencoder import AutoencoderSettings


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
    hard_share: float = 0.0
    """Share of clips that must show a thing whose corners are easily blurred."""
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
    """Largest noise on latents in training, in their standard deviations; each clip draws its own
    level below it."""
    noise_floor: float = 0.0
    """Smallest noise on latents. As large as `latent_noise`, all clips have one level: with
    `freeze_encoder` that of a flow whose noisy samples the decoder shall clean."""
    perceptual: float = 0.0
    """Weight of the differences between pictures at several scales, see `reconstruction`."""
    latent_penalty: float = 1e-4
    """Weight of the latents' mean square, which keeps them bounded."""
    detail: float = 1.0
    """Weight of the loss near edges, beside that of whole clips."""
    initialize: str | None = None
    """Folder of an exported VAE whose weights to start from; its shape must be that of `model`."""
    freeze_encoder: bool = False
    """Train the decoder alone: latents stay what they are, so that a flow trained on them stays
    valid."""
    export_dtype: str = "float16"
    """Precision of the exported weights: float16, bfloat16 or float32."""

    def __post_init__(self) -> None:
        if not self.curriculum:
            raise ValueError("curriculum must have at least one stage")
        if self.freeze_encoder and self.initialize is None:
            raise ValueError("freeze_encoder needs initialize: the folder of the VAE to keep")
        if not 0 <= self.noise_floor <= self.latent_noise:
            raise ValueError(
                f"noise_floor={self.noise_floor} must be between 0 and latent_noise, "
                f"{self.latent_noise}"
            )
        if self.export_dtype not in ("float16", "bfloat16", "float32"):
            raise ValueError(
                f"export_dtype must be float16, bfloat16 or float32, got {self.export_dtype!r}"
            )

    def stage(self, step: int) -> CurriculumStage:
        """The curriculum's stage at a step."""
        for stage in self.curriculum:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.curriculum[-1]

    def latent_shape(self, num_frames: int) -> tuple[int, int, int, int]:
        """(T,c,h,w) of a clip of this many frames."""
        factor = self.model.spatial_factor
        size = self.data.height // factor, self.data.width // factor
        return (1 + (num_frames - 1) // 4, self.model.channels, *size)
