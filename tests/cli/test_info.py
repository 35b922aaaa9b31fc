import json
from pathlib import Path

import pytest
from diffusers import AutoencoderKL, AutoencoderKLWan
from typer.testing import CliRunner

from starflow_v import StarFlowVPipeline
from starflow_v.cli.common.description import spatial_factor
from starflow_v.cli.common.model_folder import Component
from starflow_v.cli.main import app
from starflow_v.vae import codec_for


def info(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["info", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_counts_are_those_of_the_loaded_model(pipeline: Path) -> None:
    facts = json.loads(info(pipeline, "--json"))
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    for name in ("flow", "denoiser", "vae", "text_encoder"):
        expected = sum(p.numel() for p in getattr(pipe, name).parameters())
        assert facts["parts"][name]["parameters"] == expected
    halves = [facts["parts"][f"flow.{half}"]["parameters"] for half in ("shallow", "deep")]
    assert sum(halves) == facts["parts"]["flow"]["parameters"] and min(halves) > 0
    assert facts["parameters"] == sum(
        part["parameters"] for name, part in facts["parts"].items() if "." not in name
    )


def test_facts_are_those_of_the_pipeline(pipeline: Path) -> None:
    facts = json.loads(info(pipeline, "--json"))
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    for name, value in facts["defaults"].items():
        assert getattr(pipe.defaults, name) == value
    assert facts["tokens"] == {
        "per_frame": 6,
        "frames": 3,
        "channels": 4,
        "pixels": pipe.size_multiple,
    }
    assert facts["conditions"] == ["fps", "aspect_ratio", "noise_std"]
    assert facts["window"] == {"frames": 3, "overlap": 1}
    assert "circle" in facts["words"] and "9" not in facts["words"]


def test_people_are_told_the_same(pipeline: Path) -> None:
    text = info(pipeline)
    for phrase in (
        "9 frames of 48x32 at 8 fps",
        "6 a frame, 4 numbers each; 18 in 3 latent frames",
        "multiples of 16 pixels",
        "up to 48 tokens",
        "frames per second, aspect ratio, noise level",
        "3 latent frames, then a restart with the last 1",
    ):
        assert phrase in text


def test_a_folder_that_says_little_is_described_all_the_same(model: Path) -> None:
    assert "StarFlowVPipeline, 11 parameters" in info(model)
    assert json.loads(info(model, "--json"))["tokens"] is None


@pytest.mark.parametrize(
    "vae",
    [
        AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        AutoencoderKLWan(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            is_residual=True,
            patch_size=2,
            in_channels=12,
            out_channels=12,
        ),
        AutoencoderKL(
            block_out_channels=(4, 4),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=2,
        ),
    ],
    ids=["wan-2.1", "wan-2.2", "kl"],
)
def test_the_spatial_factor_is_that_of_the_codec(vae: AutoencoderKLWan | AutoencoderKL) -> None:
    vae.register_to_config(latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    part = Component(name="vae", kind=type(vae).__name__, config=dict(vae.config))
    assert spatial_factor(part) == codec_for(vae).spatial_factor


@pytest.mark.parametrize(("name", "code"), [("none", 2), ("model", 1)])
def test_what_is_no_whole_model_is_refused(model: Path, name: str, code: int) -> None:
    (model / "flow" / "config.json").unlink()
    result = CliRunner().invoke(app, ["info", str(model.parent / name)])
    assert result.exit_code == code and result.output.startswith("error: ")
