"""One model on several devices: two processes of gloo on the CPU compute what one computes; a model
placed on two devices brings its tensors together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from accelerate.hooks import AlignDevicesHook
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing import assert_close

from starflow_v import CausalDenoiser, DensityGuidance, JacobiSolver, SequentialSolver
from starflow_v import StarFlowModel as Flow
from starflow_v.nn.attention import InnerAttention
from starflow_v.parallel import shard_weights, share_sequence
from tests.conftest import draw, shake
from tests.pipelines.conftest import tiny_pipeline

WORLD = 2
FLOWS = {"token by token": {}, "frame-causal": {"deep_groups": 1}}
WAYS = ("weights", "sequence", "weights and sequence")
SOLVERS = {"sequential": SequentialSolver(), "Jacobi": JacobiSolver(block_size=5, tolerance=0)}
SHAPE = {
    "in_channels": 2,
    "shallow_width": 40,
    "deep_width": 80,
    "shallow_layers": (1,),
    "deep_layers": 2,
    "head_dim": 20,
    "text_dim": 6,
    "reference_size": 4.0,
}


def make_flow(**changes: Any) -> Flow:
    return shake(Flow(**(SHAPE | changes)), 0, torch.float64)


def make_denoiser() -> CausalDenoiser:
    sizes = {"width": 40, "layers": 3, "head_dim": 20, "text_dim": 6, "window": 2}
    return CausalDenoiser(in_channels=2, reference_size=4.0, **sizes)


def compute(flow: Flow) -> dict[str, Any]:
    """All that must not depend on how the model is divided. 9 + 4 slots: not divisible by two."""
    x, text = draw(2, 3, 2, 3, 1, seed=1).requires_grad_(), draw(2, 4, 6, seed=2)
    z, log_det = flow(x, text, return_dict=False)
    (z.square().mean() - log_det.mean()).backward()
    found = {"z": z.detach(), "log_det": log_det.detach(), "score": x.grad}
    guided = {"null_text": text.flip(0), "guidance": DensityGuidance(1.0)}
    noise = draw(2, 3, 2, 3, 1, seed=3)
    for name, solver in SOLVERS.items():
        found[name] = flow.inverse(noise, text, solver=solver, **guided)
        found[f"{name}, prefix"] = flow.inverse(
            noise, text, solver=solver, prefix=x[:, :1].detach()
        )
    return found


def gradients(flow: nn.Module) -> dict[str, Tensor]:
    """The mean over the processes: FSDP2 took it where it divides, data parallelism would."""
    means = {}
    for name, parameter in flow.named_parameters():
        gradient = parameter.grad
        if isinstance(gradient, DTensor):
            gradient = gradient.full_tensor()
        elif dist.is_initialized():
            gradient = gradient / WORLD
            dist.all_reduce(gradient)
        means[name] = gradient
    return means


def heads_at_work(flow: Flow) -> list[int]:
    """How many heads this process has in each of the deep block's attentions."""
    heads: list[int] = []
    for module in flow.deep.modules():
        if isinstance(module, InnerAttention):
            module.register_forward_pre_hook(lambda _, args: heads.append(args[0].shape[1]))
    flow(draw(1, 1, 2, 3, 1), draw(1, 4, 6))
    return heads


def numbers_held(model: nn.Module) -> int:
    return sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in model.parameters())


def make_video(pipe: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return pipe("a red circle", generator=generator, output_type="pt").frames


def work(rank: int, folder: str) -> None:
    """What each of the processes does; its results go to a file."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD)
    mesh = init_device_mesh("cpu", (WORLD,))
    found: dict[str, Any] = {}
    for kind, changes in FLOWS.items():
        for way in WAYS:
            flow = make_flow(**changes)
            if "weights" in way:
                shard_weights(flow, mesh)
            if "sequence" in way:
                share_sequence(flow, mesh)
            found[f"{kind}, {way}"] = compute(flow) | {"gradients": gradients(flow)}
            found["heads", way] = heads_at_work(flow)
            found["numbers", way] = numbers_held(flow)
    pipe = tiny_pipeline()
    shard_weights(pipe.flow, mesh)
    shard_weights(pipe.denoiser, mesh)
    found["video"] = make_video(pipe)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    """The results of each process."""
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(work, args=(str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.fixture(scope="module", params=FLOWS)
def alone(request: pytest.FixtureRequest) -> SimpleNamespace:
    flow = make_flow(**FLOWS[request.param])
    values = compute(flow)
    return SimpleNamespace(name=request.param, values=values | {"gradients": gradients(flow)})


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_compute_what_one_computes(
    found: list[dict[Any, Any]], alone: SimpleNamespace, way: str
) -> None:
    for results in found:
        divided = results[f"{alone.name}, {way}"]
        assert divided.keys() == alone.values.keys()
        for key, expected in alone.values.items():
            assert_close(divided[key], expected, rtol=1e-9, atol=1e-9, msg=lambda m, k=key: k + m)


@pytest.mark.slow
def test_each_process_holds_a_share(found: list[dict[Any, Any]]) -> None:
    flow = make_flow()
    layers = sum(p.numel() for name, p in flow.named_parameters() if ".layers." in name)
    rest = sum(p.numel() for p in flow.parameters()) - layers
    for results in found:
        assert results["numbers", "weights"] == rest + layers // WORLD
        assert results["numbers", "sequence"] == rest + layers
        assert results["heads", "weights"] == [4, 4]
        assert results["heads", "sequence"] == [2, 2]


@pytest.mark.slow
def test_a_pipeline_with_divided_weights_makes_the_same_video(
    found: list[dict[Any, Any]],
) -> None:
    expected = make_video(tiny_pipeline())
    for results in found:
        assert_close(results["video"], expected, rtol=0, atol=1e-5)


DEVICE_MAPS = {
    "halves": ["deep"],
    "inside the deep block": [f"deep.block.{name}" for name in ("transformer", "norm", "output")],
    "last layers": ["deep.block.transformer.layers.1", "shallow"],
}


def place(model: nn.Module, names: list[str]) -> None:
    """As a device map does: those parts on a device of their own, hooks bring them their input.

    The other device is called meta; on fake tensors it is one like any other.
    """
    for name, module in model.named_modules():
        elsewhere = any(f"{name}.".startswith(f"{part}.") for part in names)
        device = "meta" if elsewhere else "cpu"
        for key, parameter in module.named_parameters(recurse=False):
            setattr(module, key, nn.Parameter(torch.empty(parameter.shape, device=device)))
        if name and any(True for _ in module.parameters()):
            hook = AlignDevicesHook(device)
            module.register_forward_pre_hook(
                lambda m, args, named, hook=hook: hook.pre_forward(m, *args, **named),
                with_kwargs=True,
            )


@pytest.mark.parametrize("parts", DEVICE_MAPS.values(), ids=DEVICE_MAPS)
def test_a_flow_on_two_devices_brings_its_tensors_together(parts: list[str]) -> None:
    """With the deep block on another device than the tokens, nothing could be sampled."""
    with FakeTensorMode():
        flow = Flow(**SHAPE)
        place(flow, parts)
        x, text = torch.randn(2, 3, 2, 3, 1), torch.randn(2, 4, 6)
        flow(x, text)
        guided = {"null_text": text, "guidance": DensityGuidance(1.0)}
        made = flow.inverse(x, text, prefix=x[:, :1], **guided)
        assert made.device == x.device


def test_a_denoiser_on_two_devices_brings_its_tensors_together() -> None:
    with FakeTensorMode():
        denoiser = make_denoiser()
        place(denoiser, ["transformer.layers.1", "transformer.layers.2", "norm", "output"])
        x, text = torch.randn(2, 3, 2, 3, 1), torch.randn(2, 4, 6)
        assert denoiser.denoise(x, text).device == x.device
        for frame in denoiser.denoise_frames(iter(x.split(1, dim=1)), text):
            assert frame.device == x.device


def test_a_device_map_of_diffusers_makes_the_same_samples(tmp_path: Path) -> None:
    flow = make_flow().float()
    flow.save_pretrained(tmp_path / "flow")
    mapped = Flow.from_pretrained(
        tmp_path / "flow",
        device_map={"shallow": "cpu", "deep": "disk"},
        offload_folder=tmp_path / "disk",
    )
    assert {p.device.type for p in mapped.deep.parameters()} == {"meta"}
    noise, text = draw(1, 2, 2, 3, 1).float(), draw(1, 4, 6).float()
    assert torch.equal(mapped.inverse(noise, text), flow.inverse(noise, text))
