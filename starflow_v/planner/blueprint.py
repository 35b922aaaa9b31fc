"""A model without its weights: the networks on `meta`, and what they were trained for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from torch import nn

from starflow_v.checkpoints.description import read_description
from starflow_v.checkpoints.parts import VAES
from starflow_v.denoiser import AsTheyAre, CausalDenoiser, ScoreDenoiser, cleaner_of
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.text import text_encoder_on_meta
from starflow_v.vae import Codec, PatchCodec, codec_for

PARTS = Path(__file__).with_name("parts")
"""Configurations of the foreign parts that the released models were trained with."""
VAE_OF = {48: "wan_2_2_vae", 4: "sd_vae_ft_ema"}
"""The VAE of a configuration that names none, by the channels of its latents."""
TEXT_ENCODER = "flan_t5_xl"


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """The networks of a pipeline, without memory.

    Args:
        name: what tables call it.
        settings: those of the pipeline: `height`, `num_frames`, `text_length`, ...
    """

    name: str
    flow: StarFlowModel
    denoiser: CausalDenoiser | None
    vae: AutoencoderKLWan | AutoencoderKL | PatchCodec
    text_encoder: nn.Module
    settings: Mapping[str, Any]

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks by their names; a model without a denoiser lacks that."""
        named = {
            "text_encoder": self.text_encoder,
            "flow": self.flow,
            "denoiser": self.denoiser,
            "vae": self.vae,
        }
        return {name: part for name, part in named.items() if part is not None}

    @property
    def parameters(self) -> dict[str, int]:
        """How many each network has; those of the flow by its halves, too."""
        halves = {"flow.shallow": self.flow.shallow, "flow.deep": self.flow.deep}
        return {
            name: sum(weight.numel() for weight in part.parameters())
            for name, part in {**self.parts, **halves}.items()
        }

    @property
    def codec(self) -> Codec:
        """The VAE as a stream of frames."""
        return codec_for(self.vae, temporal_scale=self.settings.get("temporal_scale", 1.0))

    @property
    def cleaner(self) -> CausalDenoiser | AsTheyAre | ScoreDenoiser:
        """As `StarFlowVPipeline.cleaner`."""
        return cleaner_of(self.denoiser, self.flow, self.settings)

    def in_precision(self, dtype: torch.dtype) -> Blueprint:
        """The same, all networks in `dtype` (in place: nothing has to be converted)."""
        for part in self.parts.values():
            nn.Module.to(part, dtype)
        return self

    @classmethod
    def read(cls, path: Path) -> Blueprint:
        """Of a pipeline's folder, or of a configuration such as configs/starflow_v_7b_480p.yaml."""
        return cls.from_folder(path) if path.is_dir() else cls.from_description(path)

    @classmethod
    def from_folder(cls, folder: Path) -> Blueprint:
        """Of a pipeline's folder; its weights are not looked at.

        Where it lacks the VAE or the text encoder, those of the released models are taken.
        """
        settings = _read(folder / "model_index.json")
        held = {name for name, entry in settings.items() if isinstance(entry, list) and entry[0]}
        with torch.device("meta"):
            flow = StarFlowModel.from_config(_config(folder / "flow")).eval()
            denoiser = None
            if "denoiser" in held:
                denoiser = CausalDenoiser.from_config(_config(folder / "denoiser")).eval()
        text_encoder = folder / "text_encoder" if "text_encoder" in held else PARTS / TEXT_ENCODER
        return cls(
            name=folder.resolve().name,
            flow=flow,
            denoiser=denoiser,
            vae=_vae(folder / "vae") if "vae" in held else _usual_vae(flow, folder),
            text_encoder=text_encoder_on_meta(text_encoder).eval(),
            settings=settings,
        )

    @classmethod
    def from_description(cls, path: Path) -> Blueprint:
        """Of a configuration of `starflow-v convert`, with the foreign parts of released models."""
        description = read_description(path)
        flow, denoiser = description.models()
        return cls(
            name=path.stem,
            flow=flow.eval(),
            denoiser=None if denoiser is None else denoiser.eval(),
            vae=_usual_vae(flow, path),
            text_encoder=text_encoder_on_meta(PARTS / TEXT_ENCODER).eval(),
            settings=description.settings(),
        )


def matrices(module: nn.Module) -> Iterator[nn.Linear]:
    """The linear layers of a network: what quantisation makes smaller."""
    return (part for part in module.modules() if isinstance(part, nn.Linear))


def _usual_vae(flow: StarFlowModel, place: Path) -> Any:
    """The VAE that released models of as many channels were trained with."""
    channels = int(flow.config["in_channels"])
    if channels not in VAE_OF:
        raise ValueError(
            f"{place} describes latents of {channels} channels and no VAE: plan a folder that has "
            f"one, or a model of {' or '.join(map(str, VAE_OF))} channels"
        )
    return _vae(PARTS / VAE_OF[channels])


def _vae(folder: Path) -> Any:
    config = _config(folder)
    kind = config.get("_class_name")
    if kind not in VAES:
        raise ValueError(f"{folder} holds a {kind}; expected one of {', '.join(VAES)}")
    with torch.device("meta"):
        return VAES[kind].from_config(config).eval()


def _config(folder: Path) -> dict[str, Any]:
    return _read(folder / "config.json")


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); expected a pipeline's JSON") from None
    return content
