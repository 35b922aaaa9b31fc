"""What all recipes on cached latents share: whose draws are whose, and what is where."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from starflow_v.config import load_config
from starflow_v.data.scene_latents import WORDINGS
from starflow_v.training.data.flow_data import on_device
from starflow_v.training.engine.recipe import Share
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from tests.training.runs import write_run
from tests.training.test_flow import TINY


class Traveller(nn.Module):
    """A network that is wherever it is sent, for machines with one device."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.place = "cpu"

    def to(self, device: torch.device) -> Traveller:
        self.place = device.type
        return self


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    return write_run(folder, TINY)


def test_captions_are_dropped_whatever_their_wording(config: Path) -> None:
    """One stream once drew both: what was dropped was in its first wording, always."""
    recipe = FlowRecipe(load_config(FlowSettings, config, ["caption_dropout=0.2"]))
    numbers = range(256)
    firsts = [caption for _, caption in recipe.cache.captions()][::WORDINGS]
    captions = recipe.cache.batch(0, numbers).captions
    first = torch.tensor([caption in firsts for caption in captions]).float()
    tokens = next(recipe.batches([Share(step=0, samples=numbers)]))["mask"].sum(1)
    dropped = tokens == tokens.min()
    assert 0.1 < dropped.float().mean() < 0.3
    assert abs(first[dropped].mean() - first.mean()) < 0.15


def test_what_is_measured_is_brought_to_the_flow(config: Path) -> None:
    """On an accelerator the engine moves the flow there; batches are made on the CPU."""
    recipe = FlowRecipe(load_config(FlowSettings, config))
    recipe.flow.to("meta")
    batch = recipe.held_out_batch(2)
    assert batch.keys() >= {"latents", "eps", "sigma", "ids", "mask"}
    assert {it.device.type for it in batch.values()} == {"meta"}


def test_samples_are_made_where_the_flow_is(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = FlowRecipe(load_config(FlowSettings, config))
    recipe.flow.to("meta")
    recipe.vae, recipe.text_encoder = vae, text = Traveller(), Traveller()
    seen: list[str] = []
    monkeypatch.setattr(recipe, "pipeline", lambda: None)
    monkeypatch.setattr(recipe.data, "sample", lambda *_: seen.extend((vae.place, text.place)))
    recipe.sample(2, config.parent)
    assert seen == ["meta", "meta"]
    assert (vae.place, text.place) == ("cpu", "cpu")


def test_a_visit_ends_when_it_fails() -> None:
    guest = Traveller()
    with pytest.raises(ZeroDivisionError), on_device(guest, torch.device("meta")):
        _ = 1 / 0
    assert guest.place == "cpu"
