"""Denoisers: who heeds whom, the stream and the whole, and Tweedie's formula where it is known."""

from itertools import repeat
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import CausalDenoiser, ScoreDenoiser, StarFlowModel

EXACT = {"atol": 1e-10, "rtol": 1e-10}
LOOKAHEADS = [0, 1, 2, None]  # layers that look ahead, of three; `None`: all


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def x() -> Tensor:
    return draw(2, 7, 2, 2, 1)


def influence(denoiser: CausalDenoiser, x: Tensor, text: Tensor | None) -> list[list[bool]]:
    """Row t: whether frame t of the output changes with each frame of the input."""
    out = denoiser(x, text)
    rows = []
    for frame in range(x.shape[1]):
        changed = x.clone()
        changed[:, frame] += 1
        rows.append(((denoiser(changed, text) - out).abs().amax((0, 2, 3, 4)) > 1e-13).tolist())
    return [list(column) for column in zip(*rows, strict=True)]


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize("lookahead", LOOKAHEADS)
def test_a_frame_heeds_its_window_and_its_lookahead(
    make_denoiser: Any, x: Tensor, lookahead: int | None, window: int
) -> None:
    """What the layers look ahead adds up, and so does what they look back."""
    denoiser = make_denoiser(lookahead_layers=lookahead, window=window, text_dim=None)
    ahead, back = 3 if lookahead is None else lookahead, 3 * (window - 1)
    assert denoiser.lookahead == ahead
    frames = range(x.shape[1])
    expected = [[t - back <= s <= t + ahead for s in frames] for t in frames]
    assert influence(denoiser, x, None) == expected


@torch.no_grad()
def test_text_reaches_every_frame_and_carries_the_first_ones(
    make_denoiser: Any, x: Tensor, text: Tensor
) -> None:
    """Text attends to frames 0 and 1 in layers that look ahead, and so all frames hear of them."""
    denoiser = make_denoiser(lookahead_layers=1, window=1)
    difference = denoiser(x, text) - denoiser(x, text + 1)
    assert (difference.abs().amax((0, 2, 3, 4)) > 1e-13).all()
    frames = range(x.shape[1])
    expected = [[s in (0, 1, t, t + 1) for s in frames] for t in frames]
    assert influence(denoiser, x, text) == expected


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize("lookahead", LOOKAHEADS)
def test_the_stream_is_the_whole(
    make_denoiser: Any,
    x: Tensor,
    text: Tensor,
    lookahead: int | None,
    window: int,
    frames: int,
) -> None:
    denoiser = make_denoiser(lookahead_layers=lookahead, window=window, seed=window)
    x = x[:, :frames]
    stream = list(denoiser.denoise_frames(x.split(1, dim=1), text))
    assert len(stream) == frames
    assert_close(torch.cat(stream, dim=1), denoiser.denoise(x, text), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("lookahead", LOOKAHEADS)
def test_without_text_and_with_patches_it_streams_too(
    make_denoiser: Any, lookahead: int | None
) -> None:
    denoiser = make_denoiser(lookahead_layers=lookahead, patch_size=2, text_dim=None)
    x = draw(1, 5, 2, 4, 2)
    stream = torch.cat(list(denoiser.denoise_frames(x.split(1, dim=1))), dim=1)
    assert_close(stream, denoiser.denoise(x), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("lookahead", [0, 1, 3])
def test_a_frame_comes_when_its_lookahead_is_there(
    make_denoiser: Any, x: Tensor, text: Tensor, lookahead: int
) -> None:
    denoiser = make_denoiser(lookahead_layers=lookahead)
    taken = []

    def frames() -> Any:
        for t in range(x.shape[1]):
            taken.append(t)
            yield x[:, t : t + 1]

    behind = [taken[-1] - t for t, _ in enumerate(denoiser.denoise_frames(frames(), text))]
    last = x.shape[1] - 1
    assert behind == [min(lookahead, last - t) for t in range(x.shape[1])]


@torch.no_grad()
@pytest.mark.parametrize(("lookahead", "kinds"), [(0, 1), (1, 2), (None, 1)])
def test_a_mask_that_no_layer_uses_is_not_made(
    make_denoiser: Any, x: Tensor, text: Tensor, lookahead: int | None, kinds: int
) -> None:
    denoiser, seen = make_denoiser(lookahead_layers=lookahead), []
    denoiser.transformer.register_forward_pre_hook(lambda _, args: seen.extend(args[2]))
    denoiser(x, text)
    assert len(seen) == 3
    assert len({id(mask.bias) for mask in seen}) == kinds


@torch.no_grad()
def test_a_stream_makes_its_positions_once_a_frame(
    make_denoiser: Any, x: Tensor, text: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every layer made them anew."""
    denoiser, tables = make_denoiser(), []
    make = denoiser._rotary

    def record(*args: Any) -> Any:
        tables.append(args)
        return make(*args)

    monkeypatch.setattr(denoiser, "_rotary", record)
    assert len(list(denoiser.denoise_frames(x.split(1, dim=1), text))) == x.shape[1]
    assert len(tables) == x.shape[1]


@torch.no_grad()
def test_one_tensor_over_and_over_is_a_stream(make_denoiser: Any, x: Tensor, text: Tensor) -> None:
    """Text was put in front again when the first tensor came again: it was known by identity."""
    denoiser, still = make_denoiser(lookahead_layers=0), x[:, :1]
    stream = torch.cat(list(denoiser.denoise_frames(repeat(still, 4), text)), dim=1)
    assert_close(stream, denoiser.denoise(still.expand(-1, 4, -1, -1, -1), text), **EXACT)


@torch.no_grad()
def test_two_streams_do_not_meet(make_denoiser: Any, x: Tensor, text: Tensor) -> None:
    denoiser = make_denoiser()
    one = denoiser.denoise_frames(x.split(1, dim=1), text)
    other = denoiser.denoise_frames(x.flip(1).split(1, dim=1), text)
    pairs = list(zip(one, other, strict=True))
    assert_close(torch.cat([a for a, _ in pairs], dim=1), denoiser.denoise(x, text), **EXACT)
    assert_close(
        torch.cat([b for _, b in pairs], dim=1), denoiser.denoise(x.flip(1), text), **EXACT
    )


def test_an_empty_stream_is_empty(make_denoiser: Any, make_flow: Any, text: Tensor) -> None:
    for denoiser in (make_denoiser(), ScoreDenoiser(make_flow(), 0.3)):
        assert list(denoiser.denoise_frames([], text)) == []


def test_cleaned_is_noisy_less_three_tenths_of_the_output(
    make_denoiser: Any, x: Tensor, text: Tensor
) -> None:
    denoiser = make_denoiser()
    assert_close(denoiser.denoise(x, text), x - 0.3 * denoiser(x, text))


def test_a_fresh_denoiser_changes_nothing() -> None:
    denoiser = CausalDenoiser(in_channels=2, width=20, layers=1, head_dim=20, text_dim=None)
    x = torch.randn(1, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(denoiser.denoise(x), x)


def test_latents_keep_their_precision_in_a_model_of_half(make_denoiser: Any, text: Tensor) -> None:
    denoiser = make_denoiser(dtype=torch.bfloat16)
    x = draw(2, 3, 2, 2, 1).float()
    assert denoiser(x, text.float()).dtype == torch.bfloat16
    clean = denoiser.denoise(x, text.float())
    stream = torch.cat(list(denoiser.denoise_frames(x.split(1, dim=1), text.float())), dim=1)
    assert clean.dtype == stream.dtype == torch.float32
    assert clean.isfinite().all()
    assert_close(stream, clean, atol=0.1, rtol=0.1)


def standard_normal() -> StarFlowModel:
    return StarFlowModel(
        in_channels=2,
        shallow_width=20,
        deep_width=20,
        shallow_layers=(1,),
        deep_layers=1,
        head_dim=20,
        text_dim=None,
    ).double()


@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.8])
def test_the_score_of_the_standard_normal_shrinks(x: Tensor, sigma: float) -> None:
    """x ~ N(0, 1) with noise of variance sigma² in it: E[clean | x] = (1 - sigma²) x."""
    denoiser = ScoreDenoiser(standard_normal(), sigma)
    assert_close(denoiser.denoise(x), (1 - sigma**2) * x)


@pytest.mark.parametrize("shift", [0.5, -2.0])
def test_the_score_of_a_shifted_and_scaled_normal_draws_to_its_mean(
    x: Tensor, shift: float
) -> None:
    """A flow whose deep block is constant: x ~ N(mean, scale²), and Tweedie knows both."""
    flow = standard_normal()
    with torch.no_grad():
        flow.deep.block.output.bias[:] = torch.tensor([1.0, 1.0, shift, shift])
    mean = 4 * torch.tanh(torch.tensor(shift / 4, dtype=torch.float64))
    scale = torch.nn.functional.softplus(4 * torch.tanh(torch.tensor(1 / 4.0)).double() + 0.541325)
    expected = x - 0.3**2 * (x - mean) / scale**2
    assert_close(ScoreDenoiser(flow, 0.3).denoise(x), expected, atol=1e-5, rtol=1e-5)


def test_the_score_denoiser_is_a_step_down_the_likelihood(make_flow: Any, text: Tensor) -> None:
    flow, x = make_flow(), draw(2, 3, 2, 2, 3)
    with torch.no_grad():  # as a pipeline calls it
        clean = ScoreDenoiser(flow, 0.1).denoise(x, text)
    assert not clean.requires_grad
    assert all(weight.grad is None for weight in flow.parameters())
    step = 1e-6 * (clean - x)
    ascent = (flow.log_prob(x + step, text) - flow.log_prob(x - step, text)) / 2e-6
    assert_close(ascent, (clean - x).square().flatten(1).sum(1) / 0.1**2, rtol=1e-4, atol=0)


def test_the_score_denoiser_needs_no_leave_to_differentiate(make_flow: Any, text: Tensor) -> None:
    """Tensors of inference mode cannot take part in a gradient: it raised deep inside torch."""
    denoiser, x = ScoreDenoiser(make_flow(), 0.1), draw(2, 3, 2, 2, 3)
    expected = denoiser.denoise(x, text)
    with torch.inference_mode():
        clean = denoiser.denoise(x * 1, text * 1)
        stream = list(denoiser.denoise_frames((x * 1).split(1, dim=1), text * 1))
    assert torch.equal(clean, expected)
    assert_close(torch.cat(stream, dim=1), expected)


def test_the_score_denoiser_streams_at_the_end(make_flow: Any, text: Tensor) -> None:
    denoiser, x = ScoreDenoiser(make_flow(), 0.1), draw(2, 3, 2, 2, 3)
    stream = list(denoiser.denoise_frames(x.split(1, dim=1), text))
    assert [frame.shape[1] for frame in stream] == [1, 1, 1]
    assert_close(torch.cat(stream, dim=1), denoiser.denoise(x, text))
    assert denoiser.lookahead >= 10_000
