"""Noise on what blocks read changes what later tokens become, and never the token itself."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import ContextWindow
from starflow_v.flow.context_noise import noisy_context


def noise_for(flow: Any, x: Tensor) -> Tensor:
    blocks = len(flow.shallow.blocks) + 1
    generator = torch.Generator().manual_seed(0)
    return torch.randn(x.shape[0], blocks, *x.shape[1:], generator=generator, dtype=x.dtype)


def test_no_noise_is_noise_of_zero(case: SimpleNamespace) -> None:
    nothing = torch.zeros_like(noise_for(case.flow, case.x))
    given = case.flow(case.x, case.text, context_noise=nothing)
    assert_close(given, case.flow(case.x, case.text))


@torch.no_grad()
def test_noise_on_a_frame_reaches_the_deep_block_behind_it_alone(case: SimpleNamespace) -> None:
    noise = torch.zeros_like(noise_for(case.flow, case.x))
    noise[:, -1, 1] = 0.5  # the deep block's, in the second frame
    quiet, noisy = case.flow(case.x, case.text), case.flow(case.x, case.text, context_noise=noise)
    assert_close(noisy.z[:, 0], quiet.z[:, 0])
    assert (noisy.z[:, 2] - quiet.z[:, 2]).abs().max() > 1e-4
    assert (noisy.log_det[:, 2] - quiet.log_det[:, 2]).abs().max() > 1e-4


@torch.no_grad()
def test_noise_in_a_shallow_block_stays_in_its_frame(case: SimpleNamespace) -> None:
    if not case.flow.shallow.blocks:
        return
    noise = torch.zeros_like(noise_for(case.flow, case.x))
    noise[:, 0, 1] = 0.5
    made = [
        case.flow(case.x, case.text, return_between=True, context_noise=it).between
        for it in (None, noise)
    ]
    for quiet, noisy in zip(*made, strict=True):
        assert_close(noisy[:, ::2], quiet[:, ::2])
    assert (made[1][0][:, 1] - made[0][0][:, 1]).abs().max() > 1e-4


def test_noise_is_in_units_of_each_sample() -> None:
    tokens = torch.randn(2, 50, 40, dtype=torch.float64) * torch.tensor([1.0, 3.0])[:, None, None]
    added = noisy_context(tokens, 0.1 * torch.randn_like(tokens)) - tokens
    assert_close(added.std((1, 2)), 0.1 * tokens.std((1, 2)), rtol=0.1, atol=0)


def test_noise_of_another_shape_is_refused(case: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="context_noise has the shape"):
        case.flow(case.x, case.text, context_noise=torch.zeros_like(case.x))


def test_a_window_is_read_as_it_is(case: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="not both"):
        case.flow(
            case.x,
            case.text,
            context_noise=noise_for(case.flow, case.x),
            window=ContextWindow(2, 1),
        )
