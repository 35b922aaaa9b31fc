"""Released models of many shapes against the naive one of `reference`."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import ContextWindow, DensityGuidance, JacobiSolver, ScoreDenoiser
from starflow_v.checkpoints import convert_released
from tests.reference import Model, random_state

CLOSE = {"atol": 2e-5, "rtol": 2e-5}  # our positions are in float32, so angles are
BATCH, TEXT_DIM, WEIGHT = 2, 5, 1.5

SHARED = {
    "in_channels": 2,
    "rope": True,
    "sos": True,
    "txt_size": 3,
    "txt_dim": TEXT_DIM,
    "cond_top_only": True,
    "use_softplus": True,
    "use_final_norm": True,
    "soft_clip": 4,
    "seq_order": "L2R",
}
VIDEO = {
    "temporal_causal": 2,
    "shallow_block_local": True,
    "learnable_self_denoiser": True,
    "conditional_denoiser": True,
}


def shape(
    *, patch: int, head: int, layers: list[int], r: int, heads: int = 1, **others: Any
) -> dict[str, Any]:
    """Arguments of a released model; the deep block has `heads` heads, the others one."""
    widths = {"channels": head, "top_block_channels": heads * head, "head_dim": head}
    blocks = {"num_blocks": len(layers), "layers_per_block": layers}
    return SHARED | widths | blocks | {"patch_size": patch, "pt_seq_len": r} | others


CASES = {  # name -> (arguments, (frames, rows, columns) of tokens, length of the text)
    "head 16": (
        shape(patch=1, head=16, layers=[1, 1], r=3, heads=2, **VIDEO, denoiser_window=2),
        (4, 2, 2),
        1,
    ),
    "head 24, patch 2, odd": (
        shape(patch=2, head=24, layers=[1, 1, 2], r=5, **VIDEO, denoiser_window=1),
        (3, 1, 3),
        4,
    ),
    "head 48, even": (
        shape(patch=1, head=48, layers=[1, 2, 1, 1], r=8, **VIDEO, denoiser_window=3),
        (3, 1, 2),
        7,
    ),
    "head 64, patch 2, denoiser without text": (
        shape(patch=2, head=64, layers=[2, 1, 1], r=4, **VIDEO, denoiser_window=2)
        | {"conditional_denoiser": False},
        (3, 3, 1),
        2,
    ),
    "one block": (
        shape(patch=1, head=20, layers=[2], r=2, heads=3, **VIDEO, denoiser_window=10),
        (3, 2, 1),
        3,
    ),
    "image": (
        shape(patch=2, head=32, layers=[1, 1, 1], r=6, temporal_causal=0),
        (1, 3, 2),
        6,
    ),
}
VIDEOS = [name for name in CASES if name != "image"]


def make(name: str, seed: int) -> SimpleNamespace:
    arguments, (frames, rows, columns), length = CASES[name]
    state, patch = random_state(arguments, seed), arguments["patch_size"]
    flow, denoiser = convert_released(state, arguments)
    generator = torch.Generator().manual_seed(100 + seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return SimpleNamespace(
        flow=flow,
        denoiser=denoiser,
        naive=Model(state, arguments, rows, columns),
        x=draw(BATCH, frames, 2, rows * patch, columns * patch),
        z=draw(BATCH, frames, 2, rows * patch, columns * patch),
        text=draw(BATCH, length, TEXT_DIM),
        null_text=draw(BATCH, length, TEXT_DIM),
    )


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> SimpleNamespace:
    return make(request.param, seed=list(CASES).index(request.param))


@pytest.fixture(scope="module", params=VIDEOS)
def video(request: pytest.FixtureRequest) -> SimpleNamespace:
    return make(request.param, seed=10 + list(CASES).index(request.param))


def expected(
    case: SimpleNamespace,
    z: Tensor,
    *,
    prefix: Tensor | None = None,
    window: tuple[int, int] | None = None,
) -> Tensor:
    """The naive inverse of the last sample, guided."""
    return case.naive.inverse(
        z[-1],
        case.text[-1],
        null_text=case.null_text[-1],
        weight=WEIGHT,
        prefix=None if prefix is None else prefix[-1],
        window=window,
    )


def guided(case: SimpleNamespace) -> dict[str, Any]:
    return {"guidance": DensityGuidance(WEIGHT), "null_text": case.null_text}


@torch.no_grad()
def test_forward(case: SimpleNamespace) -> None:
    pairs = [case.naive.forward(case.x[b], case.text[b]) for b in range(BATCH)]
    out = case.flow(case.x, case.text)
    assert_close(out.z, torch.stack([z for z, _ in pairs]), **CLOSE)
    assert_close(out.log_det, torch.stack([log_det for _, log_det in pairs]), **CLOSE)


@torch.no_grad()
def test_inverse(case: SimpleNamespace) -> None:
    sample = case.flow.inverse(case.z, case.text)
    assert_close(sample[0], case.naive.inverse(case.z[0], case.text[0]), **CLOSE)


@torch.no_grad()
def test_guided_inverse(case: SimpleNamespace) -> None:
    naive = expected(case, case.z)
    for solver in (None, JacobiSolver(4, tolerance=0)):
        sample = case.flow.inverse(case.z, case.text, **guided(case), solver=solver)
        assert_close(sample[-1], naive, **CLOSE)


@torch.no_grad()
def test_prefix(video: SimpleNamespace) -> None:
    prefix = video.x[:, :2]
    sample = video.flow.inverse(video.z, video.text, prefix=prefix, **guided(video))
    assert_close(sample[-1], expected(video, video.z, prefix=prefix), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize(("window", "known"), [((2, 0), 1), ((2, 1), 0), ((3, 2), 1)])
def test_window(video: SimpleNamespace, window: tuple[int, int], known: int) -> None:
    z = torch.cat((video.z, video.x.flip(1)), dim=1)[:, :5]
    prefix = video.x[:, :known] if known else None
    sample = video.flow.inverse(
        z, video.text, prefix=prefix, window=ContextWindow(*window), **guided(video)
    )
    assert_close(sample[-1], expected(video, z, prefix=prefix, window=window), **CLOSE)


@torch.no_grad()
def test_denoiser(video: SimpleNamespace) -> None:
    """Of a clip longer than its window, at once and as a stream."""
    x = torch.cat((video.x, video.z), dim=1)
    text = None if video.denoiser.text_input is None else video.text
    raw = torch.stack(
        [video.naive.denoiser(x[b], None if text is None else text[b]) for b in range(BATCH)]
    )
    assert_close(video.denoiser(x, text), raw, **CLOSE)
    stream = video.denoiser.denoise_frames(x.split(1, dim=1), text)
    assert_close(torch.cat(list(stream), dim=1), x - 0.3 * raw, **CLOSE)


def test_score(case: SimpleNamespace) -> None:
    x, sigma = case.x[:1].clone().requires_grad_(), 0.3
    z, log_det = case.naive.forward(x[0], case.text[0])
    (gradient,) = torch.autograd.grad(z.square().sum() / 2 - log_det.sum(), x)
    clean = ScoreDenoiser(case.flow, sigma).denoise(case.x[:1], case.text[:1])
    assert_close(clean, case.x[:1] - sigma**2 * gradient, **CLOSE)
