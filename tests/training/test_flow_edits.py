"""Training on edits: what a batch holds, what of it is learned, where it counts."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from starflow_v.config import load_config
from starflow_v.data.scenes import EDITS
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.focus import focus_weights
from starflow_v.training.objectives import negative_log_likelihood
from starflow_v.training.recipes import train_model
from tests.training.runs import write_run
from tests.training.test_flow import TINY, first_batch


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    return write_run(folder, TINY)


def edits(config: Path, task: str, more: Sequence[str] = ()) -> FlowRecipe:
    """A run on edits alone; source and target have 2 latent frames each."""
    changes = [f"data.tasks={{{task}: 1}}", f"data.clips={{{task}: 256}}"]
    cache = f"data.cache={config.parent}/edits"
    return FlowRecipe(load_config(FlowSettings, config, [*changes, cache, *more]))


@pytest.mark.parametrize(("task", "places"), [("v2v_image", [0, 3]), ("v2v_start", [0, 1, 3, 4])])
def test_edits_that_are_only_begun_stand_where_whole_ones_do(config, task, places):
    longer = ["data.num_frames=9", f"data.cache={config.parent}/long"]
    whole, begun = (first_batch(edits(config, it, longer)) for it in ("v2v", task))
    assert_close(begun["latents"], whole["latents"][:, places], atol=2e-3, rtol=0)  # in float16
    assert begun["places"].tolist() == places and whole["places"].tolist() == list(range(6))
    assert (begun["given"], whole["given"]) == (len(places) // 2, 3)


@pytest.mark.parametrize("task", ["v2v", "v2v_start", "v2v_image"])
def test_of_edits_the_target_alone_is_learned(config, task):
    recipe = edits(config, task)
    modules = {name: part.module for name, part in recipe.parts.items()}
    for module in modules.values():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    batch = first_batch(recipe)
    told = recipe.backward(modules, batch, lambda loss: loss.backward())
    half = batch["latents"].shape[1] // 2
    x = (batch["latents"] + 0.3 * batch["eps"]).requires_grad_()
    with torch.no_grad():
        text = recipe.text.embed(modules, batch)
    z, log_det = recipe.flow(x, text, return_dict=False, times=batch.get("places"))
    nll = negative_log_likelihood(z[:, half:], log_det[:, half:])
    assert_close(told["nll"], nll.mean())
    (nll.sum() * z[0, half:].numel()).backward()
    power = (0.3**2 / 0.3 * x.grad[:, half:]).square().mean()
    assert_close(told["score_power"], power, rtol=1e-4, atol=0)


def test_pairs_are_of_the_kinds_that_are_weighed(config):
    nothing = ", ".join(f"{kind}: 0" for kind in EDITS if kind != "outline")
    cache = f"data.cache={config.parent}/outlines"
    recipe = edits(config, "v2v_image", [f"data.edits={{{nothing}}}", cache, "caption_dropout=0"])
    told = recipe.tokenizer.batch_decode(first_batch(recipe)["ids"])
    assert len(told) == 4
    assert all("outline" in it for it in told), told


def wordings_of(config, kind):
    weights = ", ".join(f"{it}: {float(it == kind)}" for it in EDITS)
    changes = [f"data.edits={{{weights}}}", f"data.cache={config.parent}/{kind}"]
    recipe = edits(config, "v2v_image", ["data.tell_sources=true", *changes])
    return [it for bucket, it in recipe.cache.captions() if bucket.task == "v2v_image"]


def test_instructions_tell_what_their_source_shows(config):
    """In three wordings of four; in one of two if it shows two things."""
    wordings = wordings_of(config, "recolor")
    plain = [it for it in wordings if ": " not in it]
    told = [it for it in wordings if ": " in it]
    assert len(plain) == 256
    assert all(it.split(": ")[0] in plain and it.endswith(" background") for it in told)
    pairs = [it for it in told if " and a " in it]
    assert 0 < len(pairs) < 128
    assert len(told) == len(pairs) + 3 * (256 - len(pairs))


def test_behind_a_mask_an_instruction_may_say_nothing(config):
    """The model learns to go on with what it sees of the source: no caption tells it."""
    wordings = wordings_of(config, "inpaint")
    assert len(wordings) == 512
    assert set(wordings[1::2]) == {"fill in the masked region"}


def test_a_pipeline_whose_edits_are_told_their_sources_can_describe_them(config):
    told = edits(config, "v2v_image", ["data.tell_sources=true", f"data.cache={config.parent}/t"])
    assert "star" in told.pipeline().config["caption_patterns"]["words"]["shape"]
    plain = edits(config, "v2v_image")
    assert plain.pipeline().config["caption_patterns"] is None


def test_a_second_object_is_as_frequent_as_the_task_wants(config):
    changes = ["data.tasks.image=1", "data.clips.image=256", "data.two_objects={image: 1}"]
    recipe = edits(config, "v2v_image", [*changes, f"data.cache={config.parent}/two"])
    told = list(recipe.cache.captions())
    assert all(" and " in it for bucket, it in told if bucket.task == "image")
    pairs = [" and " in it for bucket, it in told if bucket.task == "v2v_image"]
    assert 0 < sum(pairs) < len(pairs) / 2


@pytest.mark.parametrize(
    ("wish", "message"),
    [("{film: 0.5}", r"\['film'\] are no tasks"), ("{image: 2}", "shares are from 0 to 1")],
)
def test_a_second_object_that_cannot_be_is_refused(config, wish, message):
    with pytest.raises(ValueError, match=message):
        load_config(FlowSettings, config, [f"data.two_objects={wish}"])


def test_a_model_is_not_asked_for_what_edits_begin_with(config):
    tasks = {"v2v": 1, "v2v_start": 1, "v2v_image": 1}
    counts = dict.fromkeys(tasks, 256)
    changes = [f"data.tasks={tasks}", f"data.clips={counts}", "data.tasks.image=0"]
    recipe = FlowRecipe(load_config(FlowSettings, config, changes))
    assert recipe.pipeline().config["tasks"] == ["video", "v2v"]


def test_an_edits_own_settings_are_the_pipelines(config):
    own = ["edit_fidelity=0.9", "edit_guidance_scale=1", "untold_guidance=0.5"]
    settings = load_config(FlowSettings, config, own)
    defaults = FlowRecipe(settings).pipeline().defaults
    assert defaults.of_edits(masked=False) == (1.0, 0.9)
    assert defaults.untold_guidance == 0.5


def test_a_focus_moves_weight_to_where_the_source_stands_out(config):
    start = train_model(config)
    frozen = [f"initialize={start}", "frozen=[shallow, text_encoder, denoiser]"]
    plain, focused = (
        edits(config, "v2v_image", [*frozen, f"edit_focus={it}"]) for it in (0.0, 3.0)
    )
    batch = first_batch(plain)
    losses: list[torch.Tensor] = []
    told = [
        recipe.backward({"flow": recipe.flow}, batch, losses.append) for recipe in (plain, focused)
    ]
    assert_close(told[0]["nll"], told[1]["nll"])
    x = batch["latents"] + 0.3 * batch["eps"]
    text = plain.text.embed({}, batch)
    with torch.no_grad():
        z, log_det = plain.flow(x, text, return_dict=False, times=batch["places"])
    weights = focus_weights(x[:, :1], rows=log_det.shape[2], columns=log_det.shape[3], strength=3.0)
    expected = negative_log_likelihood(z[:, 1:], log_det[:, 1:], weights).mean()
    assert_close(losses[1].detach(), expected)
    assert (losses[0] - losses[1]).abs() > 1e-4


def test_a_focus_wants_the_deep_block_alone(config):
    with pytest.raises(ValueError, match=r"edit_focus=1\.0 weighs the deep block's tokens"):
        load_config(FlowSettings, config, ["edit_focus=1"])
