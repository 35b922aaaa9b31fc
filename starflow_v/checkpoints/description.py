"""A configuration file that describes a checkpoint: its networks and what they were trained for.

    flow: {in_channels: 48, shallow_width: 3072, ...}      StarFlowModel's arguments
    denoiser: {width: 3072, window: 10}                    CausalDenoiser's; leave it out for none
    pipeline: {noise_std: 0.5, height: 480, ...}           the settings of the pipeline

Those who have the arguments of a released model (`channels`, `layers_per_block`, ...) give them as
they are, under `model:` or alone, instead of `flow` and `denoiser`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from starflow_v.checkpoints.arguments import released_models
from starflow_v.config import from_dictionary, read_dictionary
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.pipelines.base import CONDITIONS


@dataclass(frozen=True, kw_only=True)
class FlowDescription:
    """The arguments of `StarFlowModel`. What the weights' shapes do not tell has no default."""

    in_channels: int
    """Channels of the latents."""
    shallow_width: int
    """Width of the shallow blocks."""
    deep_width: int
    """Width of the deep block."""
    shallow_layers: list[int]
    """Layers of each shallow block, from the data towards the noise."""
    deep_layers: int
    """Layers of the deep block."""
    head_dim: int
    """Width of an attention head."""
    text_dim: int | None
    """Width of the text embeddings; null for a model without text."""
    reference_size: float
    """R of the rotary positions: tokens on a side of what the model was first trained on."""
    patch_size: int = 1
    """Side of the square of latents that makes a token."""
    soft_clip: float = 4.0
    """Limit of the raw affine parameters."""
    shallow_groups: int | None = None
    """Groups per frame of the shallow blocks; null: token by token."""
    deep_groups: int | None = None
    """Groups per frame of the deep block; null: token by token."""
    shallow_order: str = "raster"
    """In which order the shallow blocks run through a frame: raster, coarse_to_fine or dilated."""
    deep_order: str = "raster"
    """The same of the deep block."""


@dataclass(frozen=True, kw_only=True)
class DenoiserDescription:
    """The arguments of `CausalDenoiser` that are not the flow's."""

    width: int
    """Width of the transformer."""
    window: int
    """Frames attended to."""
    layers: int = 8
    """Number of layers."""
    lookahead_layers: int | None = None
    """How many layers, from the first on, look ahead; null: all."""
    conditional: bool = True
    """Whether it is given the text, as the flow is."""


@dataclass(frozen=True, kw_only=True)
class PipelineDescription:
    """The settings of `StarFlowVPipeline`: what the model was trained for."""

    noise_std: float = 0.5
    """Standard deviation of the noise in the latents that the flow models."""
    temporal_scale: float = 0.6
    """Factor of the latent frames after the first."""
    frame_rate: int = 16
    """Frames per second."""
    num_frames: int = 81
    """Pixel frames of a clip, 1 + 4k; 1 for an image model."""
    height: int = 480
    """Pixels."""
    width: int = 848
    """Pixels."""
    guidance_scale: float = 3.5
    """The paper's w; 0 is the conditional model."""
    text_length: int | None = None
    """Tokens of text; null: the released arguments' `txt_size`, else 256."""
    conditions: list[str] = field(default_factory=lambda: list(CONDITIONS))
    """What captions tell beside the prompt."""
    tasks: list[str] = field(default_factory=lambda: ["video", "image"])
    """What the model was trained for: video, image, extend, last, v2v."""
    window_frames: int = 21
    """Latent frames of the deep block; longer videos restart."""
    window_overlap: int = 16
    """Latent frames carried over a restart."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A checkpoint's networks, described in our words or in those of the released code."""

    flow: FlowDescription | None = None
    """The flow, in our words."""
    denoiser: DenoiserDescription | None = None
    """The denoiser beside it; null: none."""
    model: dict[str, Any] | None = None
    """The released model's arguments, instead of `flow` and `denoiser`."""
    pipeline: PipelineDescription = field(default_factory=PipelineDescription)
    """The settings of the pipeline."""

    def __post_init__(self) -> None:
        if (self.flow is None) == (not self.model):
            raise ValueError(
                "a configuration describes its model either under `flow` (and `denoiser`) or, by "
                "the released arguments, under `model`: give one of the two"
            )
        if self.model and self.denoiser is not None:
            raise ValueError("`model` tells of the denoiser: leave `denoiser` out beside it")

    def models(self) -> tuple[StarFlowModel, CausalDenoiser | None]:
        """The networks, without memory (on meta)."""
        if self.flow is None:
            assert self.model is not None, "one of the two is there"
            return released_models(self.model)
        shared = {key: getattr(self.flow, key) for key in _SHARED}
        with torch.device("meta"):
            flow = StarFlowModel(**asdict(self.flow))
            if self.denoiser is None:
                return flow, None
            own = asdict(self.denoiser)
            text_dim = self.flow.text_dim if own.pop("conditional") else None
            return flow, CausalDenoiser(**shared, **own, text_dim=text_dim)

    def settings(self) -> dict[str, Any]:
        """The arguments of `StarFlowVPipeline` beside its components."""
        settings = asdict(self.pipeline)
        told = None if self.model is None else self.model.get("txt_size")
        settings["text_length"] = self.pipeline.text_length or told or 256
        return settings


_SHARED = ("in_channels", "patch_size", "head_dim", "reference_size")
"""Arguments that flow and denoiser have in common."""


def read_description(path: str | Path) -> ModelDescription:
    """Read a configuration file, YAML or JSON, in any of the forms above.

    Files with the arguments of a released model say more than that, of no use here: it is not read.
    """
    content = read_dictionary(path)
    if "model" not in content and "layers_per_block" in content:
        content = {"model": content}
    if content.get("model"):
        known = ModelDescription.__dataclass_fields__
        content = {key: value for key, value in content.items() if key in known}
    return from_dictionary(ModelDescription, content, path=path)


def describe_models(
    flow: StarFlowModel, denoiser: CausalDenoiser | None, settings: Mapping[str, Any]
) -> ModelDescription:
    """The description of models that exist, and of a pipeline's settings."""
    shape = {key: flow.config[key] for key in FlowDescription.__dataclass_fields__}
    shape["shallow_layers"] = list(shape["shallow_layers"])
    own = DenoiserDescription.__dataclass_fields__.keys() - {"conditional"}
    known = PipelineDescription.__dataclass_fields__.keys() & settings.keys()
    return ModelDescription(
        flow=FlowDescription(**shape),
        denoiser=None
        if denoiser is None
        else DenoiserDescription(
            **{key: denoiser.config[key] for key in own},
            conditional=denoiser.config["text_dim"] is not None,
        ),
        pipeline=PipelineDescription(**{key: settings[key] for key in known}),
    )
