"""Training adapters of a pipeline: they alone are trained, saved and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from starflow_v import StarFlowVPipeline
from starflow_v.config import load_config
from starflow_v.training.export import export_checkpoint
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.recipes import train_model
from tests.training.runs import write_run
from tests.training.test_flow import TINY

WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, and beside it the `base` pipeline that it adapts."""
    folder = tmp_path_factory.mktemp("lora")
    path = write_run(folder, TINY)
    recipe = FlowRecipe(load_config(FlowSettings, path))
    for model in (recipe.flow, recipe.denoiser):
        for parameter in model.parameters():  # a fresh flow hands no gradient to its layers
            torch.nn.init.normal_(parameter, std=0.1)
    recipe.export(folder / "base")
    path.write_text(f"{path.read_text()}initialize: {folder}/base\nlora: {{rank: 4, alpha: 8}}\n")
    return path


@pytest.fixture(scope="module")
def trained(config: Path) -> Path:
    folder = train_model(config)
    assert folder is not None
    return folder


def weights(pipe: StarFlowVPipeline) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in ("flow", "denoiser", "text_encoder")
        for key, value in getattr(pipe, name).state_dict().items()
    }


def test_twenty_steps_lower_the_loss(trained: Path) -> None:
    lines = (trained.parent / "log.jsonl").read_text().splitlines()
    losses = [entry["nll"] for entry in map(json.loads, lines) if "nll" in entry]
    assert len(losses) == 20
    assert sum(losses[-5:]) < sum(losses[:5])


def test_only_adapters_are_trained(config: Path) -> None:
    recipe = FlowRecipe(load_config(FlowSettings, config))
    assert set(recipe.parts) == {"flow", "denoiser"}
    for part in recipe.parts.values():
        chosen = {name for name, it in part.module.named_parameters() if it.requires_grad}
        assert chosen and all(".lora_" in name for name in chosen)
        held = [it for group in part.optimizer.param_groups for it in group["params"]]
        assert len(held) == len(chosen)
    assert not any(it.requires_grad for it in recipe.text_encoder.parameters())


def test_the_base_stays_as_it_was(config: Path, trained: Path) -> None:
    base = StarFlowVPipeline.from_pretrained(config.parent / "base")
    recipe = FlowRecipe(load_config(FlowSettings, config))
    expected = weights(base)
    for key, value in weights(recipe.pipeline()).items():
        if ".lora_" not in key:
            assert torch.equal(value, expected[key.replace(".base_layer.", ".")].float())


def test_checkpoints_and_the_export_hold_adapters_alone(config: Path, trained: Path) -> None:
    assert [path.name for path in trained.iterdir()] == [WEIGHTS]
    checkpoint = trained.parent / "checkpoints" / "step-00000020"
    tensors = [key for path in checkpoint.glob("*.safetensors") for key in load_file(path)]
    assert tensors and all(".lora_" in key for key in tensors)


def test_the_adapter_fits_its_pipeline_and_changes_it(config: Path, trained: Path) -> None:
    pipe = StarFlowVPipeline.from_pretrained(config.parent / "base")
    pipe.set_progress_bar_config(disable=True)

    def video() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return pipe("a red circle moves right", generator=generator, output_type="latent").frames

    base = video()
    pipe.load_lora_weights(trained)
    scaling = pipe.flow.deep.block.transformer.layers[0].attention.qkv.scaling
    assert scaling == {"default_0": 2.0}
    assert (video() - base).abs().max() > 1e-3
    pipe.unload_lora_weights()
    assert torch.equal(video(), base)


def test_a_checkpoint_exports_what_the_run_exports(trained: Path, tmp_path: Path) -> None:
    checkpoint = trained.parent / "checkpoints" / "step-00000020"
    exported = export_checkpoint(checkpoint, tmp_path / "lora")
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (trained, exported))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("initialize=null", "name its folder by initialize"),
        ("muon_lr=0.02", "muon_lr=null"),
        ("lora.targets=[query]", "'query', which is no linear layer"),
        ("flow.deep_layers=2", "deep_layers of StarFlowModel is 2 in this run and 1"),
    ],
)
def test_what_cannot_be_adapted_is_refused(config: Path, change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlowRecipe(load_config(FlowSettings, config, [change]))
