"""The configuration of a flow's training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from starflow_v.config import one_of
from starflow_v.training.data.settings import (
    DataSettings,
    DigitData,
    FolderData,
    SceneData,
    TarData,
)
from starflow_v.training.engine.settings import TrainerSettings
from starflow_v.training.lora import LoraSettings

FREEZABLE = ("shallow", "text_encoder", "denoiser")
"""What a flow's run can leave as it is."""


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
    shallow_order: str = "raster"
    """raster; coarse_to_fine, which parallel solvers settle in fewer sweeps; or dilated, whose
    frames take four evaluations with shallow_groups and deep_groups of 4."""
    deep_order: str = "raster"


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
    """The text encoder: a small one that is trained with the flow, or a pretrained one."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    length: int = 32
    """Tokens of a caption."""
    vocabulary: int = 8192
    """Words that the small one knows at most: the most frequent ones of the files' captions."""
    pretrained: str | None = None
    """Folder of a pretrained one with its tokenizer; width, layers and heads are then its own."""
    train: bool | None = None
    """Whether it is trained; None: the small one is, a pretrained one is not."""
    cache: bool = False
    """Read the embeddings of all captions from the disk; for one that is not trained."""
    labels: list[str] | None = None
    """Classes instead of words: a caption is the name of one of these, whose embedding of `width`
    is learned. [] makes a model without a condition; None: captions are text."""

    @property
    def trained(self) -> bool:
        """Whether it is one of the trained networks."""
        return self.pretrained is None if self.train is None else self.train

    def __post_init__(self) -> None:
        if self.pretrained is None and not self.trained:
            raise ValueError("text.train is false, but nothing has trained the small text encoder")
        if self.cache and self.trained:
            raise ValueError(
                "text.cache keeps embeddings on the disk, but this text encoder is trained and "
                "changes them: set text.cache=false, or text.pretrained with text.train=false"
            )
        if self.labels is not None and self.pretrained is not None:
            raise ValueError("give either text.labels or text.pretrained, not both")


@dataclass(frozen=True, kw_only=True)
class PixelShape:
    """Pixels in the place of latents, see `starflow_v.PixelCodec`."""

    channels: int = 3
    levels: int = 256


@dataclass(frozen=True, kw_only=True)
class LatentSettings:
    """What every run on cached latents needs, whatever learns them."""

    trainer: TrainerSettings
    vae: str | None = None
    """Folder of the trained VAE: AutoencoderKLWan, AutoencoderKL or PatchCodec."""
    pixels: PixelShape | None = None
    """Learn pixels instead of a VAE's latents."""
    data: DataSettings = field(
        default_factory=SceneData, metadata=one_of(DigitData, FolderData, TarData, SceneData)
    )
    """Scenes; digits or files where `digits`, `folder` or `webdataset` is given."""
    text: TextShape = field(default_factory=TextShape)
    conditions: list[str] = field(default_factory=lambda: ["fps"])
    """What captions tell beside the prompt: fps, aspect_ratio, noise_std."""
    noise_std: float = 0.0
    """Standard deviation of the noise that is added to the latents."""
    temporal_scale: float | None = None
    """Factor of the latent frames after the first; None: as the VAE's statistics.json says."""
    caption_dropout: float = 0.1
    """Share of the captions that are left empty, for guidance."""
    batch_size: int = 32
    lr: float = 1e-3
    """Peak learning rate of the main network and the text encoder."""
    muon_lr: float | None = None
    """Peak learning rate of Muon for the matrices of the other networks; None: AdamW for all."""
    weight_decay: float = 1e-4
    average_decay: float = 0.999
    guidance_scale: float = 1.0
    """Default of the exported pipeline."""
    samples: int = 16
    """Captions that are sampled and checked at an evaluation."""

    @property
    def token_side(self) -> int:
        """Side of the square of latents that makes a token."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        if (self.vae is None) == (self.pixels is None):
            raise ValueError("give either vae, the folder of a trained VAE, or pixels (such as {})")
        if self.text.labels is not None and self.conditions:
            raise ValueError("a class cannot tell conditions: set conditions=[] beside text.labels")
        if self.samples < 1:
            raise ValueError(
                f"samples={self.samples} is not valid: give a whole number above 0; "
                "trainer.evaluate_every says how often they are made"
            )


@dataclass(frozen=True, kw_only=True)
class FlowSettings(LatentSettings):
    """Everything that a flow's run needs."""

    objective: str = "likelihood"
    """What is trained: a flow by its likelihood, here; see `matching_settings` for the other."""
    initialize: str | None = None
    """Folder of a pipeline whose weights a new run begins with; smaller networks are grown, see
    `training.growth`."""
    lora: LoraSettings | None = None
    """Train adapters of that pipeline, all else frozen; None: train everything."""
    flow: FlowShape = field(default_factory=FlowShape)
    denoiser: DenoiserShape | None = field(default_factory=DenoiserShape)
    """None: samples are cleaned along the flow's own score, which suits images."""
    noise_std: float = 0.3
    dequantize: bool = False
    """Add noise that is uniform over the bins of the pixels (and nothing else): for likelihoods."""
    frozen: list[str] = field(default_factory=list)
    """Networks that keep the weights of `initialize`: shallow, text_encoder, denoiser. With all
    of them the deep block learns alone, and none of the others has a backward pass."""
    denoiser_lr: float = 1e-3
    """Peak learning rate of the denoiser."""
    context_noise: float = 0.0
    """Noise on what each block reads of earlier tokens, in units of their standard deviation, see
    `flow.context_noise`: for flows that are easier to invert."""
    edit_focus: float = 0.0
    """Of edits, what counts for more where the source stands out, see `training.focus`: for the
    deep block alone, all others frozen; 0: all places alike."""
    edit_guidance_scale: float | None = None
    """As guidance_scale, of edits by an instruction without a mask; None: the same."""
    untold_guidance: float = 1.0
    """The share of their guidance that edits have that are told nothing of their clip."""
    edit_fidelity: float = 0.0
    """Default of the exported pipeline: how much of its noise an edit has from its source."""
    latent_norm: float = 0.0
    """Weight of the penalty on what the shallow blocks make; the image model had 1e-4."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    @property
    def token_side(self) -> int:
        return self.flow.patch_size

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dequantize and self.pixels is None:
            raise ValueError("dequantize fills the bins of pixels: it needs pixels, not a vae")
        if self.denoiser is None and (self.initialize is not None or self.lora is not None):
            raise ValueError("a run with denoiser=null begins anew: leave out initialize and lora")
        if self.denoiser is not None and self.dequantize:
            raise ValueError("a denoiser learns Gaussian noise: set denoiser=null with dequantize")
        if self.text.labels is not None and self.denoiser is not None:
            raise ValueError("classes are for image models: set denoiser=null beside text.labels")
        self._check_frozen()
        for name in ("latent_norm", "context_noise", "edit_focus"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name}={value} is not valid: give 0 or more")
        if self.lora is None:
            return
        if self.initialize is None:
            raise ValueError("lora adapts a pipeline: name its folder by initialize")
        if self.muon_lr is not None:
            raise ValueError(f"muon_lr={self.muon_lr}, but lora trains by AdamW: set muon_lr=null")

    def _check_frozen(self) -> None:
        unknown = sorted(set(self.frozen) - set(FREEZABLE))
        if unknown:
            raise ValueError(f"frozen={unknown} is not known: choose from {', '.join(FREEZABLE)}")
        if self.frozen and (self.initialize is None or self.lora is not None):
            raise ValueError(
                f"frozen={self.frozen} keeps the weights of another pipeline: name its folder by "
                "initialize (lora freezes all networks by itself)"
            )
        if self.edit_focus > 0 and not {"shallow", "denoiser"} <= set(self.frozen):
            raise ValueError(
                f"edit_focus={self.edit_focus} weighs the deep block's tokens, which is no "
                "likelihood to shallow blocks and denoiser: set frozen=[shallow, denoiser]"
            )
