"""Images in the latents of a VAE of images: told by captions or by classes, in mixed sizes."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from typer.testing import CliRunner

from starflow_v import LabelEncoder, StarFlowPipeline
from starflow_v.cli.main import app
from starflow_v.config import load_config
from starflow_v.data.video_io import read_image
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.recipes import train_model

CONFIG = Path(__file__).parents[2] / "configs/stills.yaml"
TINY = [
    "batch_size=4",
    "samples=1",
    "data.height=16",
    "data.width=16",
    "flow={shallow_width: 24, deep_width: 24, shallow_layers: [1], deep_layers: 1, head_dim: 24}",
    "trainer.steps=3",
    "trainer.log_every=1",
    "trainer.evaluate_every=3",
    "trainer.precision=float32",
]


@pytest.fixture
def changes(tmp_path: Path) -> list[str]:
    """A tiny run in the latents of an image VAE, 8x in space as that of Stable Diffusion."""
    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=4,
        latent_channels=4,
    ).save_pretrained(tmp_path / "vae")
    folders = {"vae": "vae", "data.cache": "latents", "trainer.folder": "run"}
    return [*TINY, *(f"{key}={tmp_path / name}" for key, name in folders.items())]


def test_the_configuration_is_of_images_told_by_captions() -> None:
    settings = load_config(FlowSettings, CONFIG)
    assert settings.data.num_frames == 1 and list(settings.data.wanted) == ["image"]
    assert settings.latent_norm > 0 and settings.denoiser is None and settings.text.labels is None
    assert settings.flow.deep_layers > max(settings.flow.shallow_layers)


def test_captions_become_images_of_any_size(changes: list[str], tmp_path: Path) -> None:
    changes += ["data.clips={image: 256}", "text.width=16", "text.layers=1", "text.heads=2"]
    folder = train_model(CONFIG, changes)
    assert folder is not None
    evaluations = (tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()
    assert "right.color" in json.loads(evaluations[-1]), "stills are checked as stills"
    out = tmp_path / "wide.png"
    told = ["generate", "a red circle", "--model", folder, "--width", 32, "--seed", 0, "-o", out]
    result = CliRunner().invoke(app, list(map(str, told)))
    assert result.exit_code == 0, result.output
    assert read_image(out).shape == (16, 32, 3)


def test_classes_in_latents_and_in_mixed_sizes(changes: list[str], tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    rows = []
    for index in range(12):
        name, label = f"{index}.png", ["red", "blue"][index % 2]
        size = (64, 32) if index % 3 else (32, 32)
        Image.new("RGB", size, label).save(tmp_path / "files" / name)
        rows.append(json.dumps({"file_name": name, "text": label}))
    (tmp_path / "files/metadata.jsonl").write_text("\n".join(rows), "utf-8")
    changes += [
        f"data={{folder: {tmp_path / 'files'}, cache: {tmp_path / 'latents'}, num_frames: 1, "
        "height: 16, width: 16, workers: 0, tasks: {video: 0, image: 1}, "
        "aspect_ratios: ['1:1', '2:1']}",
        "text={labels: [red, blue], width: 8}",
        "conditions=[]",
    ]
    config = tmp_path / "classes.yaml"
    config.write_text("noise_std: 0.3\ndenoiser: null\ntrainer: {folder: x, steps: 1}\n")
    own = [change for change in changes if not change.startswith(("data.h", "data.w", "data.c"))]
    folder = train_model(config, own)
    assert folder is not None
    pipe = StarFlowPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.text_encoder, LabelEncoder) and isinstance(pipe.vae, AutoencoderKL)
    for height, width in ((16, 16), (16, 24)):
        told = {"height": height, "width": width, "num_images_per_prompt": 2}
        assert pipe(labels="blue", output_type="pt", **told).images.shape == (2, 3, height, width)
