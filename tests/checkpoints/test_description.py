"""Configuration files of checkpoints: in our words, or in those of the released code."""

import json
from pathlib import Path
from typing import Any

import pytest

from starflow_v.checkpoints.description import describe_models, read_description
from starflow_v.config import to_yaml
from tests.checkpoints.conftest import GOLDEN

OURS = """
flow: {in_channels: 4, shallow_width: 20, deep_width: 40, shallow_layers: [1, 2], deep_layers: 3,
       head_dim: 20, text_dim: 8, reference_size: 4, patch_size: 2}
denoiser: {width: 20, window: 3, layers: 2, lookahead_layers: 1}
pipeline: {noise_std: 0.3, height: 64, width: 64, text_length: 12, conditions: [fps]}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_our_words_are_the_arguments_of_the_models(tmp_path: Path) -> None:
    description = read_description(written(tmp_path, OURS))
    flow, denoiser = description.models()
    assert flow.config["shallow_layers"] == [1, 2] and flow.config["reference_size"] == 4.0
    assert denoiser is not None and denoiser.config["text_dim"] == 8
    assert denoiser.config["patch_size"] == 2 and denoiser.lookahead == 1
    assert all(parameter.is_meta for parameter in flow.parameters())
    settings = description.settings()
    assert settings["noise_std"] == 0.3 and settings["conditions"] == ["fps"]
    assert settings["temporal_scale"] == 0.6 and settings["text_length"] == 12


def test_a_description_of_models_describes_them(tmp_path: Path) -> None:
    description = read_description(written(tmp_path, OURS))
    again = describe_models(*description.models(), description.settings())
    assert again == description
    assert read_description(written(tmp_path, to_yaml(again))) == description


def test_a_denoiser_may_do_without_text(tmp_path: Path) -> None:
    text = OURS.replace("lookahead_layers: 1", "conditional: false")
    _, denoiser = read_description(written(tmp_path, text)).models()
    assert denoiser is not None and denoiser.text_input is None


@pytest.mark.parametrize("nested", [True, False])
def test_released_arguments_are_taken_as_they_are(
    nested: bool, arguments: dict[str, Any], tmp_path: Path
) -> None:
    content = {"model": arguments, "kind": "video", "lr": 1e-4} if nested else arguments
    description = read_description(written(tmp_path, json.dumps(content)))
    flow, denoiser = description.models()
    assert flow.config["deep_width"] == 64 and denoiser is not None
    assert description.settings()["text_length"] == arguments["txt_size"]
    assert read_description(GOLDEN / "meta.json") == description


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pipeline: {}", "either under `flow`"),
        (OURS + "model: {channels: 3}", "either under `flow`"),
        (
            "model: {channels: 3}\ndenoiser: {width: 3, window: 1}",
            "leave `denoiser` out beside it",
        ),
        ("model: {txt_size: 3}", "arguments lack in_channels"),
        (OURS.replace("head_dim: 20, ", ""), "model.yaml lacks flow.head_dim$"),
        (OURS.replace("head_dim", "head_dims"), "'flow.head_dims': did you mean flow.head_dim"),
        (OURS.replace("noise_std", "sigma"), "unknown configuration key 'pipeline.sigma'"),
        (OURS.replace("deep_layers: 3", "deep_layers: many"), "many"),
        ("a: b: c", "is not valid YAML"),
    ],
)
def test_what_describes_no_model_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_description(written(tmp_path, text)).models()


def test_a_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no configuration file at"):
        read_description(tmp_path / "none.yaml")
