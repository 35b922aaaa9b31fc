"""What takes the noise out of a model's samples: the denoiser, the decoder, or the flow's score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starflow_v.denoiser.causal import CausalDenoiser
from starflow_v.denoiser.kept import AsTheyAre
from starflow_v.denoiser.score import ScoreDenoiser
from starflow_v.flow.starflow import StarFlowModel


def cleaner_of(
    denoiser: CausalDenoiser | None, flow: StarFlowModel, settings: Mapping[str, Any]
) -> CausalDenoiser | AsTheyAre | ScoreDenoiser:
    """Of a pipeline's parts and settings."""
    if denoiser is not None:
        return denoiser
    if settings.get("decoder_cleans", False):
        return AsTheyAre()
    return ScoreDenoiser(flow, settings["noise_std"])
