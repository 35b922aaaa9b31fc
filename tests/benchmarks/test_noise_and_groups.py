"""The curve's figures are what they say."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Generator

from starflow_v.config import load_config
from starflow_v.training.flow_settings import FlowSettings

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # its scripts share report.py
from benchmarks import noise_and_groups
from benchmarks.noise_and_groups import CONFIG, HALF_BIN, MODELS, measured, missing_bits


@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_missing_bits_are_the_entropy_of_the_errors(scale: float) -> None:
    """Wide errors of a Laplace distribution: log2(2 e b) bits, less those of a bin's width."""
    uniform = torch.rand(400_000, generator=Generator().manual_seed(0)) - 0.5
    errors = -scale * uniform.sign() * torch.log1p(-2 * uniform.abs())
    expected = math.log2(2 * math.e * scale / (2 * HALF_BIN))
    assert missing_bits(errors) == pytest.approx(expected, abs=0.02)


def test_hardly_any_bits_are_missing_where_there_is_hardly_an_error() -> None:
    errors = torch.full((100,), HALF_BIN / 50)
    assert 0 <= missing_bits(errors) < 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_curve_can_be_configured(name: str) -> None:
    settings = load_config(FlowSettings, CONFIG, MODELS[name])
    assert settings.flow.patch_size * 8 == settings.data.height


def test_figures_are_kept_for_the_weights_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was trained anew in its old folder must not be told its old figures."""
    taken = []
    monkeypatch.setattr(noise_and_groups, "open_model", lambda folder: folder)
    monkeypatch.setattr(
        noise_and_groups, "measure", lambda *of: taken.append(of) or {"run": len(taken)}
    )
    folder = tmp_path / "model" / "pipeline"
    folder.mkdir(parents=True)
    weights = folder / "flow.safetensors"
    weights.write_bytes(b"old")
    assert [measured(folder, 2, 1), measured(folder, 2, 1)] == [{"run": 1}] * 2
    assert measured(folder, 3, 1) == {"run": 2}
    weights.write_bytes(b"new")
    assert measured(folder, 3, 1) == {"run": 3}
