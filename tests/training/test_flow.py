"""Training the flow and its denoiser: the loss falls, the target is the score, the result loads."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from starflow_v import StarFlowVPipeline
from starflow_v.config import load_config
from starflow_v.data.buckets import Bucket, Size
from starflow_v.training.engine.recipe import Share
from starflow_v.training.export import export_checkpoint
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.objectives import negative_log_likelihood
from starflow_v.training.recipes import train_model
from tests.pipelines.conftest import tiny_vae
from tests.training.runs import write_run

TINY = """
vae: {folder}/vae
noise_std: 0.3
batch_size: 4
samples: 2
lr: 1.0e-2
data:
  cache: {folder}/latents
  num_frames: 5
  height: 32
  width: 32
  tasks: {{video: 0.7, image: 0.3}}
  clips: {{video: 256, image: 256}}
flow: {{shallow_width: 24, deep_width: 24, shallow_layers: [1], deep_layers: 1, head_dim: 24}}
denoiser: {{width: 24, layers: 2, head_dim: 24, window: 2}}
text: {{width: 16, layers: 1, heads: 2}}
trainer:
  folder: {folder}/run
  steps: 20
  warmup: 2
  log_every: 1
  save_every: 8
  evaluate_every: 20
  precision: float32
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    return write_run(folder, TINY)


def first_batch(recipe: FlowRecipe) -> dict:
    return next(recipe.batches([Share(step=0, samples=range(4))]))


def test_every_parameter_gets_a_gradient_and_the_target_is_the_score(config):
    recipe = FlowRecipe(load_config(FlowSettings, config))
    modules = {name: part.module for name, part in recipe.parts.items()}
    for module in modules.values():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    targets = []

    def denoise(x, text, *, times=None):
        targets.append((x, text))
        return modules["denoiser"](x, text)

    told = recipe.backward(
        modules | {"denoiser": denoise}, first_batch(recipe), lambda loss: loss.backward()
    )
    for name, module in modules.items():
        missing = [
            key
            for key, p in module.named_parameters()
            if p.grad is None or not p.grad.abs().sum() > 0
        ]
        assert not missing, f"{name}: {missing}"
    ((x, text),) = targets
    noisy = x.clone().requires_grad_()
    z, log_det = recipe.flow(noisy, text, return_dict=False)
    (negative_log_likelihood(z, log_det).sum() * x[0].numel()).backward()
    power = (0.3**2 / 0.3 * noisy.grad).square().mean()
    assert_close(told["score_power"], power, rtol=1e-4, atol=0)


def test_a_batch_is_a_function_of_seed_step_and_number(config):
    recipe = FlowRecipe(load_config(FlowSettings, config))
    whole = next(recipe.batches([Share(step=3, samples=range(4))]))
    half = next(recipe.batches([Share(step=3, samples=range(2, 4))]))
    for key, tensor in whole.items():
        assert_close(tensor[2:], half[key])


def test_twenty_steps_lower_the_loss_and_the_export_makes_videos(config):
    exported = train_model(config)
    lines = (config.parent / "run" / "log.jsonl").read_text().splitlines()
    losses = [entry["nll"] for entry in map(json.loads, lines) if "nll" in entry]
    assert len(losses) == 20
    assert sum(losses[-5:]) < sum(losses[:5])
    pipe = StarFlowVPipeline.from_pretrained(exported)
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a red circle moves right").frames.shape == (1, 5, 32, 32, 3)
    assert pipe.defaults.frame_rate == 8


def test_a_cache_of_another_codec_is_refused(config, tmp_path):
    first_batch(FlowRecipe(load_config(FlowSettings, config)))
    torch.manual_seed(1)
    tiny_vae().save_pretrained(tmp_path / "vae")
    others = [f"vae={tmp_path}/vae", "temporal_scale=1", "data.seed=5", "data.num_frames=9"]
    (tmp_path / "vae" / "statistics.json").write_text('{"temporal_scale": 0.8}')
    for change in others:
        with pytest.raises(ValueError, match="something else"):
            first_batch(FlowRecipe(load_config(FlowSettings, config, [change])))


def test_fewer_clips_are_fewer_clips(config):
    """All shards in the folder were once read, whatever the configuration said."""
    changes = ["data.clips.video=512", "data.cache=" + str(config.parent / "more")]
    more = FlowRecipe(load_config(FlowSettings, config, changes)).cache
    fewer = FlowRecipe(load_config(FlowSettings, config, [changes[1]])).cache
    size = Size(32, 32)
    assert more.sizes() == {Bucket("video", size): 512, Bucket("image", size): 256}
    assert fewer.sizes() == {Bucket("video", size): 256, Bucket("image", size): 256}


def test_the_noise_level_weights_the_likelihood_and_not_the_score(config):
    def told(conditions: str) -> dict:
        recipe = FlowRecipe(load_config(FlowSettings, config, [f"conditions={conditions}"]))
        for part in recipe.parts.values():
            for index, parameter in enumerate(part.module.parameters()):
                generator = torch.Generator().manual_seed(index)
                parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
        modules = {name: part.module for name, part in recipe.parts.items()}
        batch = first_batch(recipe) | {"sigma": torch.full((4,), 0.6)}
        losses = []
        metrics = recipe.backward(modules, batch, lambda x: losses.append(x) or x.backward())
        return {"first": losses[0], **metrics}

    plain, weighted = told("[fps]"), told("[fps,noise_std]")
    assert_close(plain["first"], plain["nll"])
    assert_close(weighted["first"], 2 * weighted["nll"])
    assert_close(
        weighted["score_power"] / plain["score_power"], torch.tensor(1.0), rtol=0.3, atol=0
    )


def test_recomputed_activations_give_the_same_gradients(config):
    """With the penalty too, which goes through the graph twice."""

    def gradients(recompute: str) -> dict[str, torch.Tensor]:
        changes = [f"recompute={recompute}", "latent_norm=0.1"]
        recipe = FlowRecipe(load_config(FlowSettings, config, changes))
        assert recipe.flow.gradient_checkpointing == (recompute == "true")
        modules = {name: part.module for name, part in recipe.parts.items()}
        recipe.backward(modules, first_batch(recipe), lambda loss: loss.backward())
        return {name: p.grad for name, p in recipe.flow.named_parameters()}

    assert_close(gradients("true"), gradients("false"))


def test_the_penalty_moves_the_flow_and_not_the_denoisers_target(config):
    def told(weight: float) -> tuple[dict, dict]:
        changes = [f"latent_norm={weight}", "flow.shallow_layers=[1,1]"]
        recipe = FlowRecipe(load_config(FlowSettings, config, changes))
        modules = {name: part.module for name, part in recipe.parts.items()}
        for module in modules.values():
            for index, parameter in enumerate(module.parameters()):
                generator = torch.Generator().manual_seed(index)
                parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
        metrics = recipe.backward(modules, first_batch(recipe), lambda loss: loss.backward())
        return metrics, {
            f"{part}.{name}": parameter.grad
            for part, module in modules.items()
            for name, parameter in module.named_parameters()
        }

    (without, plain), (with_it, penalised) = told(0.0), told(0.1)
    for name, value in without.items():
        assert torch.equal(value, with_it[name]), name
    moved = {name for name, gradient in plain.items() if not torch.equal(gradient, penalised[name])}
    assert {name.partition(".blocks.")[0] for name in moved} == {"flow.shallow"}
    assert "flow.shallow.blocks.0.start" in moved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.tasks={film: 1}", "film"),
        ("data.tasks={v2v: 1}", "clips says nothing about v2v"),
        ("data.edits={repaint: 1}", "'repaint'.* are not known: choose from recolor"),
        ("data.edits={recolor: -1}", "none may be negative"),
        ("samples=0", "samples=0 is not valid"),
    ],
)
def test_bad_settings_are_named(config, change, message):
    with pytest.raises(ValueError, match=message):
        load_config(FlowSettings, config, [change])


def test_a_stopped_run_exports_nothing(config, tmp_path):
    changes = [f"trainer.folder={tmp_path}", "trainer.max_seconds=0"]
    assert train_model(config, changes) is None
    assert not (tmp_path / "pipeline").exists()


def test_a_checkpoint_exports_what_the_run_exports(config, tmp_path):
    train_model(config)
    checkpoint = config.parent / "run" / "checkpoints" / "step-00000020"
    exported = export_checkpoint(checkpoint, tmp_path / "pipeline")
    weights = "flow/diffusion_pytorch_model.safetensors"
    assert (exported / weights).read_bytes() == (
        config.parent / "run" / "pipeline" / weights
    ).read_bytes()
    with pytest.raises(ValueError, match="not empty"):
        export_checkpoint(checkpoint, tmp_path / "pipeline")


def test_a_run_begins_with_the_weights_of_a_pipeline(config, tmp_path):
    exported = train_model(config)
    changes = [f"initialize={exported}"]
    recipe = FlowRecipe(load_config(FlowSettings, config, changes))
    start = StarFlowVPipeline.from_pretrained(exported)
    for name in ("flow", "denoiser", "text_encoder"):
        expected = getattr(start, name).state_dict()
        for key, value in getattr(recipe, name).state_dict().items():
            assert_close(value, expected[key].float())


def test_a_run_begins_with_what_a_smaller_pipeline_computes(config):
    changes = [f"initialize={train_model(config)}"]
    small = FlowRecipe(load_config(FlowSettings, config, changes))
    larger = ["flow.shallow_layers=[1,1,1]", "flow.deep_layers=3", "flow.deep_width=48"]
    large = FlowRecipe(load_config(FlowSettings, config, [*changes, *larger, "denoiser.width=48"]))
    batch = first_batch(small)
    x, text = batch["latents"], torch.randn(4, 3, 16)
    with torch.no_grad():
        assert_close(large.flow.log_prob(x, text), small.flow.log_prob(x, text))
        assert_close(large.denoiser(x, text), small.denoiser(x, text), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="layers would have to"):
        FlowRecipe(load_config(FlowSettings, config, [*changes, "denoiser.layers=1"]))


def test_context_noise_is_drawn_with_its_sample(config):
    recipe = FlowRecipe(load_config(FlowSettings, config, ["context_noise=0.2"]))
    whole = first_batch(recipe)
    half = next(recipe.batches([Share(step=0, samples=range(2, 4))]))
    assert_close(whole["context"][2:], half["context"])
    assert whole["context"].shape == (4, 2, *whole["latents"].shape[1:])
    assert_close(whole["context"].std(), torch.tensor(0.2), rtol=0.1, atol=0)
    modules = {name: part.module for name, part in recipe.parts.items()}
    for module in modules.values():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    told = [
        recipe.backward(modules, batch, lambda loss: loss.backward())["nll"]
        for batch in (whole, {key: it for key, it in whole.items() if key != "context"})
    ]
    assert told[0] != told[1]


def test_frozen_networks_stay_as_they_were(config):
    start = train_model(config)
    frozen = "frozen=[shallow, text_encoder, denoiser]"
    changes = [f"initialize={start}", frozen, "muon_lr=0.1", "trainer.steps=2"]
    again = train_model(config, [*changes, f"trainer.folder={config.parent}/frozen"])
    before, after = (StarFlowVPipeline.from_pretrained(folder) for folder in (start, again))
    for name in ("text_encoder", "denoiser"):
        assert_close(getattr(after, name).state_dict(), getattr(before, name).state_dict())
    assert_close(after.flow.shallow.state_dict(), before.flow.shallow.state_dict())
    moved = [
        (mine - its).abs().max()
        for mine, its in zip(
            after.flow.deep.parameters(), before.flow.deep.parameters(), strict=True
        )
    ]
    assert max(moved) > 0.01


@pytest.mark.parametrize(
    "changes",
    [["frozen=[shallow]"], ["initialize=x", "frozen=[deep]"], ["initialize=x", "frozen=[vae]"]],
)
def test_only_what_came_from_elsewhere_can_be_frozen(config, changes):
    with pytest.raises(ValueError, match="frozen="):
        load_config(FlowSettings, config, changes)
