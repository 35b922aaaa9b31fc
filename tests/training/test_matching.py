"""Training by flow matching: the loss falls, couplings do their part, the result generates."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from starflow_v import StarFlowVFlowMatchingPipeline
from starflow_v.baselines.couplings import OptimalTransportCoupling, WeightedCoupling
from starflow_v.cli.main import app
from starflow_v.config import load_config
from starflow_v.training.engine.recipe import Share
from starflow_v.training.export import export_checkpoint
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.matching import MatchingRecipe
from starflow_v.training.matching_settings import MatchingSettings
from starflow_v.training.recipes import load_settings, train_model
from tests.training.runs import write_run

TINY = """
objective: flow_matching
vae: {folder}/vae
batch_size: 4
samples: 2
lr: 1.0e-2
num_inference_steps: 2
data:
  cache: {folder}/latents
  num_frames: 5
  height: 32
  width: 32
  tasks: {{video: 0.7, image: 0.3}}
  clips: {{video: 256, image: 256}}
velocity: {{width: 24, layers: 1, head_dim: 24}}
text: {{width: 16, layers: 1, heads: 2}}
trainer:
  folder: {folder}/run
  steps: 30
  warmup: 2
  log_every: 1
  save_every: 15
  evaluate_every: 30
  precision: float32
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matching")
    return write_run(folder, TINY)


def recipe_of(config: Path, *changes: str) -> MatchingRecipe:
    return MatchingRecipe(load_config(MatchingSettings, config, changes))


def batch_of(recipe: MatchingRecipe, samples: range = range(4)) -> dict:
    return dict(next(recipe.batches([Share(step=3, samples=samples)])))


def test_thirty_steps_lower_the_loss_and_the_command_line_makes_videos(
    config: Path, tmp_path: Path
) -> None:
    exported = train_model(config)
    lines = (config.parent / "run" / "log.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert len(losses) == 30
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    assert StarFlowVFlowMatchingPipeline.from_pretrained(exported).defaults.frame_rate == 8

    def generate(*arguments: object):
        return CliRunner().invoke(app, ["generate", *map(str, arguments)])

    common = ("a red circle", "-o", tmp_path / "clip.mp4", "--model", exported, "--seed", 1)
    result = generate(*common, "--steps", 3)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "clip.json").read_text())
    assert (record["solver"], record["steps"]) == ("euler", 3)
    again = generate("--from", tmp_path / "clip.json", "-o", tmp_path / "again.mp4")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "clip.mp4").read_bytes()
    refused = generate(*common, "--overwrite", "--solver", "jacobi")
    assert refused.exit_code == 2 and "--steps" in refused.output
    info = CliRunner().invoke(app, ["info", str(exported)])
    assert info.exit_code == 0 and "CausalVelocityModel" in info.output


def test_a_checkpoint_exports_what_the_run_exports(config: Path, tmp_path: Path) -> None:
    train_model(config)
    checkpoint = config.parent / "run" / "checkpoints" / "step-00000030"
    exported = export_checkpoint(checkpoint, tmp_path / "pipeline")
    weights = "flow/diffusion_pytorch_model.safetensors"
    of_run = config.parent / "run" / "pipeline" / weights
    assert (exported / weights).read_bytes() == of_run.read_bytes()


def test_a_batch_is_a_function_of_seed_step_and_number(config: Path) -> None:
    recipe = recipe_of(config)
    whole, half = batch_of(recipe), batch_of(recipe, range(2, 4))
    assert whole["times"].shape == whole["latents"].shape[:2]
    assert not torch.equal(whole["times"][0], whole["times"][1])
    for key, tensor in whole.items():
        assert_close(tensor[2:], half[key])


@pytest.mark.parametrize("coupling", ["independent", "optimal_transport", "weighted"])
def test_every_parameter_gets_a_gradient(config: Path, coupling: str) -> None:
    if coupling == "optimal_transport":
        pytest.importorskip("scipy")
    recipe = recipe_of(config, f"coupling={coupling}")
    modules = {name: part.module for name, part in recipe.parts.items()}
    for module in modules.values():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    told = recipe.backward(modules, batch_of(recipe), lambda loss: loss.backward())
    for name, module in modules.items():
        missing = [key for key, it in module.named_parameters() if it.grad is None]
        assert not missing, f"{name}: {missing}"
    even = told["effective_share"] > 1 - 1e-5
    assert even == (coupling != "weighted")


def test_kappa_is_that_of_the_latents_or_as_given(config: Path) -> None:
    assert recipe_of(config, "coupling=weighted", "kappa=0.3").coupling == WeightedCoupling(0.3)
    chosen = recipe_of(config, "coupling=weighted").coupling
    assert isinstance(chosen, WeightedCoupling) and 0.01 < chosen.kappa < 3
    assert chosen == recipe_of(config, "coupling=weighted").coupling
    by_transport = recipe_of(config, "coupling=optimal_transport").coupling
    assert isinstance(by_transport, OptimalTransportCoupling)


def test_the_objective_chooses_the_settings(config: Path, tmp_path: Path) -> None:
    assert isinstance(load_settings(config), MatchingSettings)
    plain = tmp_path / "flow.yaml"
    plain.write_text("vae: somewhere\ntrainer: {folder: run, steps: 3}\n")
    assert isinstance(load_settings(plain), FlowSettings)
    assert isinstance(load_settings(plain, ["objective=flow_matching"]), MatchingSettings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("objective=adversarial", "expected likelihood or flow_matching"),
        ("coupling=sinkhorn", "expected one of independent"),
        ("kappa=0.3", "is for coupling=weighted"),
        ("noise_std=0.3", "learns clean latents"),
        ("deep_layers=3", "unknown configuration key"),
    ],
)
def test_what_does_not_fit_is_refused(config: Path, change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings(config, [change])


@pytest.mark.parametrize("task", ["v2v_start", "v2v_image"])
def test_edits_that_are_only_begun_are_refused(config: Path, task: str) -> None:
    """Their places in the clip would be lost."""
    with pytest.raises(ValueError, match="does not know"):
        load_settings(config, [f"data.tasks.{task}=1", f"data.clips.{task}=256"])


@pytest.mark.parametrize("kappa", ["0", "-1", ".nan", ".inf"])
def test_a_scale_of_weights_is_a_number_above_0(config: Path, kappa: str) -> None:
    """Zero once was taken for one."""
    with pytest.raises(ValueError, match="give a number above 0"):
        load_settings(config, ["coupling=weighted", f"kappa={kappa}"])
