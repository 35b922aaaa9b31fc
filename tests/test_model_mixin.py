"""What diffusers asks of a model, for both of ours: saving, dtypes, offloading, checkpointing."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, ModelHook, add_hook_to_module
from diffusers import ModelMixin
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.testing import assert_close

import starflow_v
from starflow_v import CausalDenoiser, SequentialSolver, StarFlowModel


@pytest.fixture(params=["flow", "denoiser"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(kind: str, make_flow: Any, make_denoiser: Any) -> Any:
    """Makes one kind of model, in float32."""
    factory = {"flow": make_flow, "denoiser": make_denoiser}[kind]
    return lambda **changes: factory(**({"dtype": torch.float32} | changes))


@pytest.fixture
def model(make: Any) -> ModelMixin:
    return make()


@pytest.fixture
def inputs(text: Tensor) -> dict[str, Tensor]:
    x = torch.randn(2, 3, 2, 2, 3, generator=torch.Generator().manual_seed(3))
    return {"x": x, "text": text.float()}


def run(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return model(**inputs, return_dict=False)


def everything(model: nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """The forward pass, and the ways through a model that do not call its `forward`."""
    outputs = list(run(model, inputs))
    frames = inputs["x"].split(1, dim=1)
    if isinstance(model, StarFlowModel):
        outputs.append(model.inverse(inputs["x"], inputs["text"]))
    elif isinstance(model, CausalDenoiser):
        outputs.extend(model.denoise_frames(frames, inputs["text"]))
    return outputs


def test_a_tuple_is_returned_on_demand(model: ModelMixin, inputs: dict[str, Tensor]) -> None:
    outputs, plain = run(model, inputs), model(**inputs)
    assert isinstance(outputs, tuple)
    if isinstance(plain, Tensor):  # the denoiser's raw output is one tensor
        assert_close(outputs, (plain,))
    else:
        assert_close(outputs, plain.to_tuple())
        assert_close(outputs, (plain.z, plain.log_det))
        assert list(plain) == ["z", "log_det"]


def test_it_is_deterministic(model: ModelMixin, inputs: dict[str, Tensor]) -> None:
    first, second = run(model, inputs), run(model, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shards", [False, True])
def test_saved_and_loaded_it_is_the_same(
    model: ModelMixin, inputs: dict[str, Tensor], tmp_path: Path, variant: str | None, shards: bool
) -> None:
    size = "40KB" if shards else "1GB"
    model.save_pretrained(tmp_path, variant=variant, max_shard_size=size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == shards
    loaded = type(model).from_pretrained(tmp_path, variant=variant)
    assert not loaded.training
    assert_close(loaded.state_dict(), model.state_dict(), atol=0, rtol=0)
    assert_close(run(loaded, inputs), run(model, inputs), atol=0, rtol=0)
    if variant:
        with pytest.raises(OSError, match="no file named"):
            type(model).from_pretrained(tmp_path)


def test_a_saved_model_bears_the_name_of_the_package(model: ModelMixin, tmp_path: Path) -> None:
    """diffusers writes the class's module into an index: a file's name would bind it for ever."""
    assert type(model).__module__ == "starflow_v"
    assert getattr(starflow_v, type(model).__name__) is type(model)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert config["_class_name"] == type(model).__name__
    assert config["in_channels"] == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_it_is_saved_and_loaded_in_any_precision(
    model: ModelMixin, tmp_path: Path, dtype: torch.dtype
) -> None:
    model.to(dtype)
    model.save_pretrained(tmp_path)
    for low_memory in (True, False):
        loaded = type(model).from_pretrained(
            tmp_path, torch_dtype=dtype, low_cpu_mem_usage=low_memory
        )
        assert loaded.dtype == dtype


def test_it_is_rebuilt_from_its_config(model: ModelMixin, inputs: dict[str, Tensor]) -> None:
    again = type(model).from_config(model.config)
    again.load_state_dict(model.state_dict())
    assert_close(run(again.eval(), inputs), run(model, inputs))


def test_its_config_is_not_its_attributes(model: ModelMixin) -> None:
    with pytest.warns(FutureWarning):
        assert model.in_channels == 2
    with pytest.raises(AttributeError, match="has no attribute 'does_not_exist'"):
        _ = model.does_not_exist


def gradients(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    sum(output.square().mean() for output in run(model, inputs)).backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def test_every_parameter_gets_a_gradient(make: Any, inputs: dict[str, Tensor]) -> None:
    model = make(dtype=torch.float64)
    got = gradients(model, {name: tensor.double() for name, tensor in inputs.items()})
    dead = [name for name, grad in got.items() if grad is None or not grad.abs().amax() > 0]
    assert dead == []


def test_checkpointing_changes_no_gradient(make: Any, inputs: dict[str, Tensor]) -> None:
    model = make(dtype=torch.float64)
    inputs = {name: tensor.double() for name, tensor in inputs.items()}
    kept = gradients(model, inputs)
    assert not model.is_gradient_checkpointing
    model.enable_gradient_checkpointing()
    assert model.is_gradient_checkpointing
    assert {type(m) for m in model.modules() if hasattr(m, "gradient_checkpointing")} == {
        type(model)
    }
    assert_close(gradients(model, inputs), kept)
    model.disable_gradient_checkpointing()
    assert not model.is_gradient_checkpointing


def test_a_step_of_training_with_an_average(model: ModelMixin, inputs: dict[str, Tensor]) -> None:
    average = EMAModel(model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    gradients(model.train(), inputs)
    optimizer.step()
    average.step(model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_near(
    make: Any, inputs: dict[str, Tensor], dtype: torch.dtype
) -> None:
    half, full = make(dtype=dtype), make()
    with torch.no_grad():
        outputs = run(half, {name: tensor.to(dtype) for name, tensor in inputs.items()})
        expected = run(full, inputs)
    for got, wanted in zip(outputs, expected, strict=True):
        assert got.isfinite().all()
        error = (got.float() - wanted).square().mean() / wanted.square().mean()
        assert error < (1e-2 if dtype == torch.bfloat16 else 1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_affine_arithmetic_of_a_flow_in_half_precision_is_full(
    make_flow: Any, inputs: dict[str, Tensor], dtype: torch.dtype
) -> None:
    flow = make_flow(dtype=dtype)
    text = inputs["text"].to(dtype)
    with torch.no_grad():
        out = flow(inputs["x"].to(dtype), text)
        assert out.z.dtype == out.log_det.dtype == torch.float32
        solution = flow.solve(out.z, text)
    assert solution.latents.dtype == torch.float32
    assert solution.latents.isfinite().all()


def test_mixed_precision_trains(model: ModelMixin, inputs: dict[str, Tensor]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = sum(output.float().square().mean() for output in run(model, inputs))
    loss.backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
    if isinstance(model, StarFlowModel):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(**inputs).log_det.dtype == torch.float32


@pytest.mark.parametrize(
    ("storage", "compute"),
    [
        (torch.float16, torch.float32),
        (torch.float8_e4m3fn, torch.float32),
        (torch.float8_e4m3fn, torch.bfloat16),
    ],
)
def test_layers_may_be_stored_in_less_than_they_compute_in(
    make: Any, inputs: dict[str, Tensor], storage: torch.dtype, compute: torch.dtype
) -> None:
    model = make(dtype=compute)
    inputs = {name: tensor.to(compute) for name, tensor in inputs.items()}
    with torch.no_grad():
        expected = everything(model, inputs)
        model.enable_layerwise_casting(storage_dtype=storage, compute_dtype=compute)
        layer = model.get_submodule("deep.block" if isinstance(model, StarFlowModel) else "")
        assert layer.transformer.layers[0].mlp.up.weight.dtype == storage
        assert layer.transformer.layers[0].mlp.norm.weight.dtype == compute
        for got, wanted in zip(everything(model, inputs), expected, strict=True):
            similarity = torch.cosine_similarity(got.flatten().float(), wanted.flatten().float(), 0)
            assert similarity > 0.9


@pytest.mark.parametrize(
    "level",
    [{"offload_type": "block_level", "num_blocks_per_group": 1}, {"offload_type": "leaf_level"}],
)
def test_group_offload_brings_every_parameter_in_time(
    make: Any,
    inputs: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    level: dict[str, Any],
) -> None:
    """Offloaded to the disk, a parameter that no hook fetched would be NaN here."""
    monkeypatch.setattr(torch, "empty_like", lambda tensor, **_: torch.full_like(tensor, torch.nan))
    model = make()
    with torch.no_grad():
        expected = everything(model, inputs)
        model.enable_group_offload("cpu", offload_to_disk_path=str(tmp_path), **level)
        assert all(weight.isnan().all() for weight in model.parameters())
        assert_close(everything(model, inputs), expected)


class Waking(ModelHook):
    """Counts how often a model is asked to come to its device, as under model offload."""

    def __init__(self) -> None:
        self.calls = 0

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return args, kwargs


def test_model_offload_is_woken_by_every_way_in(
    make_flow: Any, make_denoiser: Any, inputs: dict[str, Tensor]
) -> None:
    flow, denoiser = make_flow(dtype=torch.float32), make_denoiser(dtype=torch.float32)
    x, text = inputs["x"], inputs["text"]
    ways = [
        (flow, lambda: flow.log_prob(x, text)),
        (flow, lambda: flow.inverse(x, text)),
        (flow, lambda: flow.solve_shallow(x, SequentialSolver())),
        (denoiser, lambda: denoiser.denoise(x, text)),
        (denoiser, lambda: list(denoiser.denoise_frames(x.split(1, dim=1), text))),
    ]
    for model, way in ways:
        hook = Waking()
        add_hook_to_module(model, hook)
        with torch.no_grad():
            way()
        assert hook.calls > 0


class Calling(ModelHook):
    """Notes in a common list when its model is asked to come."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(self.name)
        return args, kwargs


def test_in_a_chain_of_stages_models_are_woken_in_their_order(
    make_flow: Any, make_denoiser: Any, inputs: dict[str, Tensor]
) -> None:
    """A generator runs from its end: the denoiser woke before it asked the flow for a frame.

    Under model offload whoever wakes sends the one before it away, so the order must be that of
    the data, or two models stay on the device.
    """
    calls: list[str] = []
    flow, denoiser = make_flow(dtype=torch.float32), make_denoiser(dtype=torch.float32)
    for name, model in (("flow", flow), ("denoiser", denoiser)):
        add_hook_to_module(model, Calling(name, calls))
    text, solver = inputs["text"], SequentialSolver()

    def noise() -> Iterator[Tensor]:
        calls.append("noise")
        yield from inputs["x"].split(1, dim=1)

    deep = [u for u, _ in flow.solve_deep(noise(), text, frames=3, solver=solver)]
    noisy = (flow.solve_shallow(u, solver)[0] for u in [torch.cat(deep, dim=1)])
    frames = (frame for x in noisy for frame in x.split(1, dim=1))
    list(denoiser.denoise_frames(frames, text))
    assert [name for name, _ in groupby(calls)] == ["noise", "flow", "denoiser"]


def test_a_model_spread_over_devices_hands_its_output_back(
    model: ModelMixin, inputs: dict[str, Tensor]
) -> None:
    """The hook moves the output to where the inputs were, and rebuilds it from a dictionary."""
    expected = run(model, inputs)
    add_hook_to_module(model, AlignDevicesHook(io_same_device=True))
    moved = model(**inputs)
    assert_close(moved if isinstance(moved, Tensor) else moved.z, expected[0])
    assert_close(run(model, inputs), expected)
