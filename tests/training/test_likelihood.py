"""Training a flow alone on digits: labels, pixels, uniform noise; the result loads and samples."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from starflow_v import LabelEncoder, PixelCodec, StarFlowPipeline
from starflow_v.cli.main import app
from starflow_v.config import load_config
from starflow_v.data.digits import part_of, read_digits
from starflow_v.data.video_io import read_image
from starflow_v.training.engine.recipe import Share
from starflow_v.training.export import export_checkpoint
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.likelihood import LikelihoodRecipe
from starflow_v.training.recipes import recipe_of, train_model

pytest.importorskip("sklearn")

CONFIG = Path(__file__).parents[2] / "configs/digits.yaml"


def changes(folder: Path) -> list[str]:
    return [
        f"data.cache={folder / 'latents'}",
        f"trainer.folder={folder / 'run'}",
        "trainer.steps=12",
        "trainer.warmup=2",
        "trainer.log_every=1",
        "trainer.save_every=12",
        "trainer.evaluate_every=12",
        "trainer.threads=null",
        "flow.shallow_layers=[1]",
        "flow.deep_layers=1",
        "batch_size=16",
        "samples=2",
    ]


def first_batch(recipe: LikelihoodRecipe) -> dict:
    return next(recipe.batches([Share(step=0, samples=range(64))]))


def test_the_parts_of_the_digits_do_not_meet() -> None:
    parts = [part_of(index) for index in range(1797)]
    counts = {name: parts.count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 1258, "validation": 180, "test": 359}
    assert {name: len(read_digits(name).labels) for name in counts} == counts
    assert read_digits("test").images.max() == 16


def test_noise_is_uniform_over_the_bins_and_labels_are_numbers(tmp_path: Path) -> None:
    recipe = recipe_of(load_config(FlowSettings, CONFIG, changes(tmp_path)))
    assert isinstance(recipe, LikelihoodRecipe)
    batch = first_batch(recipe)
    noise = batch["sigma"][0] * batch["eps"]
    assert float(noise.abs().max()) <= 1 / 17
    assert float(noise.std()) == pytest.approx(1 / 17 / math.sqrt(3), rel=0.05)
    levels = (batch["latents"] + 1) / 2 * 17 - 0.5
    assert_close(levels, levels.round(), atol=5e-3, rtol=0)
    assert set(batch["labels"].tolist()) == set(range(11)), "ten classes, and none by dropout"


def test_gaussian_noise_has_the_level_of_the_settings(tmp_path: Path) -> None:
    more = ["dequantize=false", "noise_std=0.2"]
    recipe = recipe_of(load_config(FlowSettings, CONFIG, [*changes(tmp_path), *more]))
    batch = first_batch(recipe)
    assert float(batch["sigma"][0]) == pytest.approx(0.2)
    assert float(batch["eps"].std()) == pytest.approx(1, rel=0.05)
    assert float(batch["eps"].abs().max()) > 2


def test_a_run_lowers_the_loss_and_its_pipeline_samples(tmp_path: Path) -> None:
    folder = train_model(CONFIG, changes(tmp_path))
    assert folder is not None
    pipe = StarFlowPipeline.from_pretrained(folder)
    assert isinstance(pipe.vae, PixelCodec) and isinstance(pipe.text_encoder, LabelEncoder)
    assert pipe.denoiser is None and pipe.config["noise_std"] == pytest.approx(pipe.vae.bin_std)
    pipe.set_progress_bar_config(disable=True)
    assert pipe(labels=["3", 4], output_type="np").images.shape == (2, 8, 8, 3)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    losses = [float(line.split('"nll": ')[1].split(",")[0]) for line in lines if '"nll"' in line]
    assert losses[-1] < losses[0]
    exported = export_checkpoint(
        tmp_path / "run" / "checkpoints" / "step-00000012", tmp_path / "again"
    )
    again = StarFlowPipeline.from_pretrained(exported)
    for name, weight in pipe.flow.state_dict().items():
        assert_close(again.flow.state_dict()[name], weight, atol=0, rtol=0)


def test_a_model_without_classes_is_told_nothing(tmp_path: Path) -> None:
    without = [*changes(tmp_path), "text.labels=[]"]
    recipe = recipe_of(load_config(FlowSettings, CONFIG, without))
    assert set(first_batch(recipe)["labels"].tolist()) == {0}
    folder, out = train_model(CONFIG, without), tmp_path / "any.png"
    told = ["generate", "", "--frames", 1, "--model", folder, "--attention-temperature", 2]
    made = CliRunner().invoke(app, list(map(str, [*told, "-o", out])))
    assert made.exit_code == 0, made.output
    assert read_image(out).shape == (8, 8, 3)


def test_both_arrangements_come_from_one_configuration(tmp_path: Path) -> None:
    settings = load_config(FlowSettings, CONFIG, changes(tmp_path))
    shapes = [([1, 1], 4), ([2, 2], 2)]
    counts = {
        sum(p.numel() for p in recipe_of(replaced(settings, *shape)).flow.parameters())
        for shape in shapes
    }
    assert len(counts) == 1


def replaced(settings: FlowSettings, shallow: list[int], deep: int) -> FlowSettings:
    return replace(settings, flow=replace(settings.flow, shallow_layers=shallow, deep_layers=deep))


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("vae=somewhere", "either vae"),
        ("conditions=[fps]", "conditions=\\[\\]"),
        ("initialize=somewhere", "begins anew"),
        ("denoiser={}", "denoiser=null"),
        ("data.digits=train", "test or validation"),
        ("data.num_frames=5", "images of 8x8"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, wrong: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        load_config(FlowSettings, CONFIG, [*changes(tmp_path), wrong])


def test_a_run_with_a_denoiser_is_what_it_was(tmp_path: Path) -> None:
    more = ["dequantize=false", "denoiser={width: 24, layers: 1, head_dim: 24}", "text.labels=null"]
    recipe = recipe_of(load_config(FlowSettings, CONFIG, [*changes(tmp_path), *more]))
    assert isinstance(recipe, FlowRecipe)
    assert torch.isfinite(recipe.prepare(recipe.cache.batch(0, [0]), [[0, 0]])["latents"]).all()
