"""Three ways to hear captions: a trained encoder, a frozen one, and what it said before."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from starflow_v.config import load_config
from starflow_v.text import tiny_text_encoder
from starflow_v.text.pretrained import load_text_encoder
from starflow_v.training.engine.recipe import Share
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from tests.training.files import make_run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = make_run(tmp_path)
    torch.manual_seed(1)
    encoder, tokenizer = tiny_text_encoder(["a red circle"], width=8, layers=1, heads=2)
    encoder.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    return config


def recipe_for(config: Path, *changes: str) -> FlowRecipe:
    pretrained = f"text.pretrained={config.parent}/t5"
    return FlowRecipe(load_config(FlowSettings, config, [pretrained, *changes]))


def metrics(recipe: FlowRecipe) -> dict[str, torch.Tensor]:
    for name in ("flow", "denoiser"):
        for index, parameter in enumerate(getattr(recipe, name).parameters()):
            generator = torch.Generator().manual_seed(index)
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    modules = {name: part.module for name, part in recipe.parts.items()}
    batch = next(recipe.batches([Share(step=0, samples=range(2))]))
    return dict(recipe.backward(modules, batch, lambda loss: loss.backward()))


def test_a_frozen_encoder_is_not_trained_and_its_cache_says_the_same(config: Path) -> None:
    frozen = recipe_for(config)
    cached = recipe_for(config, "text.cache=true")
    assert set(frozen.parts) == set(cached.parts) == {"flow", "denoiser"}
    asked, read = metrics(frozen), metrics(cached)
    assert (config.parent / "latents" / "text" / "text-00000.safetensors").is_file()
    for name, value in asked.items():
        assert_close(read[name], value, rtol=1e-3, atol=1e-5)
    assert all(parameter.grad is None for parameter in frozen.text_encoder.parameters())
    assert cached.pipeline().text_encoder is cached.text_encoder


def test_a_pretrained_encoder_may_be_trained(config: Path) -> None:
    recipe = recipe_for(config, "text.train=true")
    metrics(recipe)
    assert recipe.parts["text_encoder"].module is recipe.text_encoder
    assert any(parameter.grad is not None for parameter in recipe.text_encoder.parameters())


@pytest.mark.parametrize("changes", [["text.train=true"], ["text.pretrained=null"]])
def test_a_text_cache_is_refused_where_the_encoder_is_trained(
    config: Path, changes: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"text\.cache .* this text encoder is trained"):
        recipe_for(config, "text.cache=true", *changes)


def test_an_untrained_encoder_must_be_trained(config: Path) -> None:
    with pytest.raises(ValueError, match="nothing has trained the small text encoder"):
        recipe_for(config, "text.pretrained=null", "text.train=false")


def test_another_encoder_is_refused(config: Path) -> None:
    metrics(recipe_for(config, "text.cache=true"))
    encoder, _ = tiny_text_encoder(["a red circle"], width=8, layers=1, heads=2)
    encoder.save_pretrained(config.parent / "t5")
    with pytest.raises(ValueError, match="made with something else"):
        metrics(recipe_for(config, "text.cache=true"))


def test_encoders_load_from_their_own_folder_and_from_a_pipelines(config: Path) -> None:
    folder = config.parent / "t5"
    alone, tokenizer = load_text_encoder(folder)
    alone.save_pretrained(config.parent / "pipe" / "text_encoder")
    tokenizer.save_pretrained(config.parent / "pipe" / "tokenizer")
    inside, _ = load_text_encoder(config.parent / "pipe")
    for key, value in alone.state_dict().items():
        assert_close(inside.state_dict()[key], value)
    with pytest.raises(ValueError, match="no folder of a text encoder"):
        load_text_encoder(config.parent)
