"""The released implementation's numbers, on small models with random weights.

`golden/` holds its inputs, parameters and outputs in float32.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from starflow_v import ContextWindow, DensityGuidance, JacobiSolver, SlidingSolver
from starflow_v.checkpoints import convert_released

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("video", "image")


def load(kind: str) -> SimpleNamespace:
    folder = GOLDEN / kind
    meta = json.loads((folder / "meta.json").read_text())
    flow, denoiser = convert_released(load_file(folder / "checkpoint.safetensors"), meta["model"])
    io = load_file(folder / "io.safetensors")
    if kind == "image":
        latents = ("x", "forward.z", "noise", "sample.unguided", "sample.guided", "score.grad_nll")
        io |= {key: io[key][:, None] for key in latents}
        io |= {key: io[key][:, None] for key in io if key.startswith("forward.tokens")}
    return SimpleNamespace(flow=flow, denoiser=denoiser, io=io, meta=meta)


@pytest.fixture(scope="module", params=KINDS)
def golden(request) -> SimpleNamespace:
    return load(request.param)


@pytest.fixture(scope="module")
def video() -> SimpleNamespace:
    return load("video")


def nll(flow, x, text):
    out = flow(x, text)
    return out.z.square().sum() / 2 - out.log_det.sum()


def guided(golden) -> dict:
    weight = float(golden.io["sample.guidance_weight"])
    return {"guidance": DensityGuidance(weight), "null_text": golden.io["text_null"]}


def test_forward(golden):
    io = golden.io
    out = golden.flow(io["x"], io["text"])
    assert_close(out.z, io["forward.z"], atol=1e-5, rtol=1e-5)
    tokens = golden.flow.to_tokens(io["x"])
    assert_close(tokens, io["forward.tokens.0"].flatten(2, 3))
    log_sigma = sum(io[key].sum(-1).flatten(1).sum(1) for key in io if "logdet." in key)
    assert_close(out.log_det.flatten(1).sum(1), log_sigma, atol=1e-4, rtol=1e-5)
    assert_close(out.z.square().mean() / 2, io["forward.loss_z"], atol=1e-5, rtol=1e-5)
    per_element = -out.log_det.sum() / out.z.numel()
    assert_close(out.z.square().mean() / 2 + per_element, io["forward.loss"], atol=1e-5, rtol=1e-5)


def test_every_block(golden):
    io, flow = golden.io, golden.flow
    grid = flow.grid(io["x"])
    tokens = flow.to_tokens(io["x"])
    for index, (block, order) in enumerate(
        zip(flow.shallow.blocks, flow.shallow.orders, strict=True)
    ):
        single = type(flow.shallow)([block], [order], groups=None, reference=flow.shallow.reference)
        tokens, log_det = single(tokens, grid)
        assert_close(tokens, io[f"forward.tokens.{index + 1}"].flatten(2, 3), atol=1e-5, rtol=1e-5)
        expected = io[f"forward.logdet.{index}"].sum(-1).reshape(log_det.shape)
        assert_close(
            order.to_slots(log_det[..., None], grid)[..., 0], expected, atol=1e-4, rtol=1e-5
        )


def test_score(golden):
    x = golden.io["x"].clone().requires_grad_()
    nll(golden.flow, x, golden.io["text"]).backward()
    assert_close(x.grad, golden.io["score.grad_nll"], atol=1e-4, rtol=1e-4)


def test_sample(golden):
    io = golden.io
    sample = golden.flow.inverse(io["noise"], io["text"])
    assert_close(sample, io["sample.unguided"], atol=1e-4, rtol=1e-4)
    sample = golden.flow.inverse(io["noise"], io["text"], **guided(golden))
    assert_close(sample, io["sample.guided"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "solver",
    [JacobiSolver(block_size=4, tolerance=1e-6, norm="max"), SlidingSolver(tolerance=1e-6)],
    ids=lambda solver: type(solver).__name__,
)
def test_sample_in_parallel(golden, solver):
    io = golden.io
    sample = golden.flow.inverse(io["noise"], io["text"], **guided(golden), solver=solver)
    assert_close(sample, io["sample.guided"], atol=1e-4, rtol=1e-4)


def test_prefix(video):
    io = video.io
    sample = video.flow.inverse(io["noise"], io["text"], prefix=io["i2v.image"], **guided(video))
    assert_close(sample, io["i2v.sample"], atol=1e-4, rtol=1e-4)
    sample = video.flow.inverse(
        io["prefix.noise"], io["text"], prefix=io["prefix.video"], **guided(video)
    )
    assert_close(sample, io["prefix.sample"], atol=1e-4, rtol=1e-4)


def test_long_video(video):
    io, long = video.io, video.meta["long"]
    window = ContextWindow(frames=long["window"], overlap=long["context"])
    sample = video.flow.inverse(io["long.noise"], io["text"], window=window, **guided(video))
    assert_close(sample, io["long.sample"], atol=1e-4, rtol=1e-4)


def test_denoiser(video):
    io = video.io
    raw = video.denoiser(io["x"], io["text"])
    assert_close(raw, io["denoiser.output"], atol=1e-4, rtol=1e-4)
    assert_close(video.denoiser.denoise(io["x"], io["text"]), io["x"] - 0.3 * raw)


def test_denoiser_beyond_its_window(video):
    io = video.io
    assert_close(
        video.denoiser(io["denoiser.long_x"], io["text"]),
        io["denoiser.long_output"],
        atol=1e-4,
        rtol=1e-4,
    )


def test_denoiser_stream(video):
    io = video.io
    stream = video.denoiser.denoise_frames(io["denoiser.long_x"].split(1, dim=1), io["text"])
    expected = io["denoiser.long_x"] - 0.3 * io["denoiser.long_output"]
    assert_close(torch.cat(list(stream), dim=1), expected, atol=1e-4, rtol=1e-4)


def test_a_surplus_or_missing_key_is_named():
    folder = GOLDEN / "video"
    arguments = json.loads((folder / "meta.json").read_text())["model"]
    weights = load_file(folder / "checkpoint.safetensors")
    with pytest.raises(ValueError, match=r"surplus key blocks\.0\.extra"):
        convert_released(weights | {"blocks.0.extra": torch.zeros(1)}, arguments)
    weights.pop("blocks.3.proj_txt.weight")
    with pytest.raises(ValueError, match=r"missing key blocks\.3\.proj_txt\.weight"):
        convert_released(weights, arguments)
