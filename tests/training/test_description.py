"""A network tells, half-way through the deep block, what the target of an edit shows."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from starflow_v.config import load_config
from starflow_v.data.latent_cache import DESCRIPTIONS
from starflow_v.training.data.settings import FolderData
from starflow_v.training.description import Describer, LayerOutput
from starflow_v.training.engine.settings import TrainerSettings
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.recipes import train_model
from tests.training.runs import write_run
from tests.training.test_flow import TINY, first_batch
from tests.training.test_flow_edits import edits


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("described"), TINY)


def test_a_describers_loss_is_that_of_each_word_summed():
    torch.manual_seed(0)
    describer, hidden = Describer(8, 5).double(), torch.randn(2, 3, 8, dtype=torch.float64)
    nn.init.zeros_(describer.output.weight)
    nn.init.constant_(describer.output.bias, 2.0)
    words = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 1, 1, 0]])
    right, wrong = torch.tensor([2.0, -2.0], dtype=torch.float64).sigmoid().log().neg()
    assert_close(describer(hidden, words), ((right + 4 * wrong) + (3 * right + 2 * wrong)) / 2)


def test_a_layers_output_is_taken_once():
    layer = nn.Linear(2, 3)
    output = LayerOutput(layer)
    expected = layer(torch.ones(1, 2))
    assert output.take() is expected
    with pytest.raises(AssertionError, match="has not been called"):
        output.take()


@pytest.mark.parametrize("task", ["v2v", "v2v_image"])
def test_targets_are_described_as_they_are(config, task):
    recipe = edits(config, task, ["describe=1"])
    batch = recipe.cache.batch(0, range(8))
    vocabulary = recipe.tokenizer.get_vocab()
    words = recipe.more([None] * 8, batch)["described"]
    for told, instruction, row in zip(batch.descriptions, batch.captions, words, strict=True):
        assert told.endswith("background"), told
        assert ("move" not in told and "bounce" not in told) or task == "v2v", told
        listed = {word for word, number in vocabulary.items() if row[number]}
        assert {*told.split()} <= listed
        assert len(listed) <= len({*told.split()}) + 1  # the end of the sentence
        assert {*instruction.split()} - listed, "an instruction is no description"


def test_describing_adds_its_loss_and_leaves_the_likelihood_and_its_score(config):
    plain, described = (edits(config, "v2v", [f"describe={it}"]) for it in (0.0, 0.25))
    told, losses = [], []
    for recipe in (plain, described):
        modules = {name: part.module for name, part in recipe.parts.items()}
        torch.manual_seed(0)
        for name in ("flow", "denoiser", "text_encoder"):
            for parameter in modules[name].parameters():
                nn.init.normal_(parameter, std=0.1)
        its: list[torch.Tensor] = []

        def backward(loss: torch.Tensor, its: list[torch.Tensor] = its) -> None:
            its.append(loss.detach())
            loss.backward()

        told.append(recipe.backward(modules, first_batch(recipe), backward))
        losses.append(its)
    for name in ("nll", "score_error", "score_power"):
        assert_close(told[1][name], told[0][name])
    assert_close(losses[1][0], losses[0][0] + 0.25 * told[1]["description"].detach())
    assert all(it.grad is not None for it in described.describer.parameters())


def test_the_first_word_of_a_target_is_told_before_any_of_it_is_seen(config):
    """Only what stands half-way, at the slots of the target: slot j has read tokens before j."""
    recipe = edits(config, "v2v_image", ["describe=1", "flow.deep_layers=2"])
    batch = dict(first_batch(recipe))
    seen = []

    def describe(hidden, words):
        seen.append(hidden.detach())
        return hidden.sum()

    for _ in range(2):
        modules = {name: part.module for name, part in recipe.parts.items()}
        recipe.backward({**modules, "describer": describe}, batch, lambda loss: None)
        latents = batch["latents"].clone()
        latents[:, 1] += 1.0  # the target, all of it
        batch["latents"] = latents
    tokens = recipe.flow.grid(batch["latents"]).tokens
    assert seen[0].shape == (4, tokens, 24)
    assert_close(seen[0][:, 0], seen[1][:, 0])
    assert (seen[0][:, 1:] - seen[1][:, 1:]).abs().amax() > 1e-3


def test_a_run_with_descriptions_ends_in_the_same_kind_of_pipeline(config):
    changes = ["data.tasks={v2v: 1, video: 1}", "data.clips.v2v=256", "describe=0.1"]
    cache = f"data.cache={config.parent}/edits-and-clips"
    folder = f"trainer.folder={config.parent}/told"
    exported = train_model(config, [*changes, cache, folder, "trainer.steps=6"])
    described = {path.relative_to(exported) for path in exported.rglob("*")}
    plain = train_model(config, [f"trainer.folder={config.parent}/plain", "trainer.steps=1"])
    assert described == {path.relative_to(plain) for path in plain.rglob("*")}
    with safe_open(next((exported / "flow").glob("*.safetensors")), "pt") as weights:
        assert not [name for name in weights.keys() if "describer" in name]  # noqa: SIM118


def test_latents_without_descriptions_are_named(config):
    recipe = edits(config, "v2v_image", ["describe=1", f"data.cache={config.parent}/old"])
    recipe.prepare_data()
    for path in (config.parent / "old").glob("v2v_image-*"):
        with safe_open(path, "pt") as shard:
            header, tensors = shard.metadata(), {it: shard.get_tensor(it) for it in shard.keys()}  # noqa: SIM118
        header.pop(DESCRIPTIONS)
        save_file(tensors, path, metadata=header)
    recipe = edits(config, "v2v_image", ["describe=1", f"data.cache={config.parent}/old"])
    with pytest.raises(ValueError, match=r"old were made without the descriptions"):
        first_batch(recipe)


def test_files_tell_no_descriptions():
    files = FolderData(folder="clips", cache="latents")
    trainer = TrainerSettings(folder="run", steps=1)
    with pytest.raises(ValueError, match=r"describe=1\.0 needs descriptions .* set describe=0"):
        FlowSettings(trainer=trainer, vae="vae", data=files, describe=1.0)


def test_without_edits_there_is_nothing_to_describe(config):
    with pytest.raises(ValueError, match=r"describe=1\.0 .* give data\.tasks one of v2v, "):
        load_config(FlowSettings, config, ["describe=1", "data.tasks.v2v=0"])
