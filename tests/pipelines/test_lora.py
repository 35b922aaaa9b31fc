"""LoRA adapters of a pipeline: what they change, and that they leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.testing import assert_close

from starflow_v import StarFlowVPipeline
from starflow_v.pipelines import lora
from starflow_v.training.lora import LoraSettings, add_adapter, save_adapters

WEIGHTS = "pytorch_lora_weights.safetensors"
MakePipe = Callable[..., StarFlowVPipeline]


def video(pipe: StarFlowVPipeline) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return pipe("a red circle", generator=generator, output_type="latent").frames


def state(pipe: StarFlowVPipeline) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name in lora.ADAPTABLE
        for key, value in getattr(pipe, name).state_dict().items()
    }


def make_adapter(folder: Path, pipe: StarFlowVPipeline, *, std: float, alpha: float = 4) -> Path:
    """An adapter whose B has that standard deviation."""
    settings = LoraSettings(rank=2, alpha=alpha, targets=["qkv", "proj", "up"])
    for name in lora.ADAPTABLE:
        model = getattr(pipe, name)
        add_adapter(model, settings)
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                nn.init.normal_(parameter, std=std)
    save_adapters(folder, pipe.flow, pipe.denoiser)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, make_pipe: MakePipe) -> Path:
    torch.manual_seed(1)
    return make_adapter(tmp_path_factory.mktemp("adapter"), make_pipe(), std=0.1)


def test_an_untrained_adapter_changes_nothing(make_pipe: MakePipe, tmp_path: Path) -> None:
    pipe = make_pipe()
    before = video(pipe)
    pipe.load_lora_weights(make_adapter(tmp_path, make_pipe(), std=0))
    assert_close(video(pipe), before, rtol=0, atol=1e-6)


def test_load_fuse_unfuse_unload(make_pipe: MakePipe, adapter: Path) -> None:
    pipe = make_pipe()
    base, weights = video(pipe), state(pipe)
    pipe.load_lora_weights(adapter)
    adapted = video(pipe)
    assert (adapted - base).abs().max() > 1e-2
    pipe.fuse_lora()
    assert pipe.num_fused_loras == 1
    assert_close(video(pipe), adapted, rtol=0, atol=1e-5)
    pipe.unfuse_lora()
    assert pipe.num_fused_loras == 0
    assert_close(video(pipe), adapted, rtol=0, atol=1e-5)
    pipe.disable_lora()
    assert_close(video(pipe), base, rtol=0, atol=1e-5)
    pipe.unload_lora_weights()
    assert state(pipe).keys() == weights.keys()


def test_unloading_gives_the_base_back_bit_for_bit(make_pipe: MakePipe, adapter: Path) -> None:
    pipe = make_pipe()
    base, weights = video(pipe), state(pipe)
    pipe.load_lora_weights(adapter)
    pipe.unload_lora_weights()
    after = state(pipe)
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[key], value) for key, value in weights.items())
    assert torch.equal(video(pipe), base)


def test_an_adapter_is_the_formula(make_pipe: MakePipe, adapter: Path) -> None:
    """W + alpha/rank · B A, alpha as the file tells it."""
    pipe = make_pipe()
    pipe.load_lora_weights(adapter)
    adapted = video(pipe)
    pipe.unload_lora_weights()
    tensors = load_file(adapter / WEIGHTS)
    weights = state(pipe)
    for key, b in tensors.items():
        if "lora_B" in key:
            a = tensors[key.replace("lora_B", "lora_A")]
            weights[key.replace("lora_B.", "")].add_(4 / 2 * b @ a)
    for name in lora.ADAPTABLE:
        own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(name)}
        getattr(pipe, name).load_state_dict(own)
    assert_close(video(pipe), adapted, rtol=0, atol=1e-5)


def test_the_file_has_the_layout_of_diffusers(adapter: Path) -> None:
    assert [path.name for path in adapter.iterdir()] == [WEIGHTS]
    with safe_open(adapter / WEIGHTS, "pt") as file:
        assert "lora_adapter_metadata" in file.metadata()
        keys = set(file.keys())
    assert "flow.deep.block.transformer.layers.0.attention.qkv.lora_A.weight" in keys
    assert all(key.startswith(("flow.", "denoiser.")) and ".lora_" in key for key in keys)


def test_two_adapters_side_by_side(make_pipe: MakePipe, adapter: Path) -> None:
    pipe = make_pipe()
    pipe.load_lora_weights(adapter)
    alone = video(pipe)
    pipe.load_lora_weights(adapter, adapter_name="again")
    assert pipe.get_list_adapters()["flow"] == ["default_0", "again"]
    pipe.set_adapters(["default_0", "again"], [0.5, 0.5])
    assert_close(video(pipe), alone, rtol=0, atol=1e-5)
    pipe.load_lora_weights(adapter)
    assert pipe.get_list_adapters()["denoiser"] == ["default_0", "again", "default_1"]


QKV = "flow.deep.block.transformer.layers.0.attention.qkv"
BROKEN = {
    "another width": (f"{QKV}.lora_A.weight", torch.zeros(2, 7), None, r"\(2, 7\).*\(2, 48\)"),
    "another rank": (f"{QKV}.lora_A.weight", torch.zeros(3, 48), None, r"\(3, 48\).*\(2, 48\)"),
    "one half": (f"{QKV}.lora_A.weight", None, None, "only one of"),
    "no such layer": (
        f"{QKV}.lora_A.weight",
        torch.zeros(2, 48),
        "flow.transformer.blocks.0.lora_A.weight",
        "no linear layer 'flow.transformer.blocks.0'",
    ),
    "another pipeline": (
        f"{QKV}.lora_A.weight",
        torch.zeros(2, 48),
        "transformer.qkv.lora_A.weight",
        "belongs to another model",
    ),
    "no adapter": (f"{QKV}.lora_A.weight", torch.zeros(2), "lora_weight", "no tensor of a LoRA"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_an_adapter_that_does_not_fit_is_refused(
    make_pipe: MakePipe, adapter: Path, tmp_path: Path, case: tuple[str, Tensor, str, str]
) -> None:
    key, value, new, message = case
    tensors = load_file(adapter / WEIGHTS)
    del tensors[key]
    if value is not None:
        tensors[new or key] = value
    save_file(tensors, tmp_path / WEIGHTS)
    pipe = make_pipe()
    names = state(pipe).keys()
    with pytest.raises(ValueError, match=message):
        pipe.load_lora_weights(tmp_path)
    assert state(pipe).keys() == names


def test_a_pickle_is_not_read(make_pipe: MakePipe, adapter: Path, tmp_path: Path) -> None:
    torch.save(load_file(adapter / WEIGHTS), tmp_path / "pytorch_lora_weights.bin")
    with pytest.raises(OSError, match="safetensors"):
        make_pipe().load_lora_weights(tmp_path)


def test_without_peft_the_extra_is_named(
    make_pipe: MakePipe, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = make_pipe()
    monkeypatch.setattr(lora, "is_peft_available", lambda: False)
    message = r"pip install 'starflow_v\[lora\]'"
    with pytest.raises(ImportError, match=message):
        pipe.load_lora_weights(adapter)
    for method in (pipe.fuse_lora, pipe.unfuse_lora, pipe.unload_lora_weights):
        with pytest.raises(ImportError, match=message):
            method()
    with pytest.raises(ImportError, match=message):
        add_adapter(pipe.flow, LoraSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"rank": 0}, "lora.rank=0"), ({"targets": []}, "lora.targets is empty")],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoraSettings(**settings)


def test_a_target_that_is_no_layer_is_refused(make_pipe: MakePipe) -> None:
    with pytest.raises(ValueError, match=r"'to_q', which is no linear layer of StarFlowModel"):
        add_adapter(make_pipe().flow, LoraSettings(targets=["qkv", "to_q"]))
