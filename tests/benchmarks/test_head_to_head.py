"""The head-to-head compares what is comparable, and its likelihood of flow matching is one."""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from starflow_v import CausalDenoiser, CausalVelocityModel, StarFlowModel
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.matching_settings import MatchingSettings
from starflow_v.training.recipes import load_settings

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
from benchmarks.head_to_head import CONFIGS, COUPLINGS, MODELS
from benchmarks.matching_likelihood import matching_bits

SHARED = ("vae", "data", "text", "conditions", "caption_dropout", "batch_size", "average_decay")
EVERY = MODELS | COUPLINGS


def settings_of(name: str) -> FlowSettings | MatchingSettings:
    config, changes = EVERY[name]
    return load_settings(CONFIGS / config, changes)


def parameters(settings: FlowSettings | MatchingSettings) -> int:
    shared = {"in_channels": 48, "text_dim": settings.text.width}
    if isinstance(settings, MatchingSettings):
        models: list[nn.Module] = [CausalVelocityModel(**shared, **asdict(settings.velocity))]
    else:
        assert settings.denoiser is not None
        denoiser = CausalDenoiser(**shared, **asdict(settings.denoiser))
        models = [StarFlowModel(**shared, **asdict(settings.flow)), denoiser]
    return sum(it.numel() for model in models for it in model.parameters())


@pytest.mark.parametrize("name", EVERY)
def test_all_models_see_the_same_data_and_are_as_large(name: str) -> None:
    ours, flow = settings_of(name), settings_of("flow")
    for key in SHARED:
        assert getattr(ours, key) == getattr(flow, key), key
    assert parameters(ours) == pytest.approx(parameters(flow), rel=0.03)


class StandardNormal(nn.Module):
    """The velocity of flow matching where the data are standard normal, too."""

    def forward(self, x: Tensor, t: Tensor, clean: Tensor, text: Tensor) -> Tensor:
        t = t[..., None, None, None]
        return x * (2 * t - 1) / ((1 - t).square() + t.square())


def encode(frames: Tensor) -> Tensor:
    """Standard normal latents (B, 1, 2, 16, 16), whatever the frames."""
    return torch.randn(len(frames), 1, 2, 16, 16, generator=Generator().manual_seed(1))


@pytest.mark.parametrize("sigma", [0.15, 0.5])
def test_noised_normal_data_have_the_entropy_of_a_wider_normal(sigma: float) -> None:
    pipe = SimpleNamespace(
        flow=StandardNormal(),
        codec=SimpleNamespace(encode=encode),
        encode_prompt=lambda *_, **__: (torch.zeros(1), None),
    )
    scenes = [(np.zeros((1, 16, 16, 3), np.uint8), "a caption")] * 20
    expected = 0.5 * math.log2(2 * math.pi * math.e * (1 + sigma**2))
    assert matching_bits(pipe, scenes, sigma) == pytest.approx(expected, abs=0.03)
