"""The bare transformers that a training step is compared with."""

import sys
from pathlib import Path

import pytest
import torch

from starflow_v.nn.attention import CAUSAL

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
from benchmarks.train_throughput import OurLayers, TorchLayers


@pytest.mark.parametrize("layers", [OurLayers, TorchLayers])
def test_a_bare_transformer_runs_and_is_causal(layers) -> None:
    """Keys once were turned by positions that it does not have."""
    torch.manual_seed(0)
    model = layers(32, 2, 16, mask=CAUSAL)
    x = torch.randn(2, 5, 32, requires_grad=True)
    made = model(x)
    assert made.shape == x.shape
    made[:, 2].square().sum().backward()
    assert x.grad is not None
    assert x.grad[:, :3].abs().amax((0, 2)).gt(0).all()
    assert x.grad[:, 3:].abs().max() == 0
