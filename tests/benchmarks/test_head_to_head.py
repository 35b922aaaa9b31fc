"""What the head-to-head says of flow matching's likelihood is the likelihood."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
from benchmarks.head_to_head import matching_bits


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
