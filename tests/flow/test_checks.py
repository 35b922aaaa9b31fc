"""What users get wrong is a ValueError that says what was got and what to give."""

from typing import Any

import pytest
import torch
from torch import Tensor

from starflow_v import (
    CausalDenoiser,
    ContextWindow,
    DensityGuidance,
    JacobiSolver,
    ScoreDenoiser,
    StarFlowModel,
)


@pytest.fixture(scope="module")
def flow(make_flow: Any) -> StarFlowModel:
    return make_flow(patch_size=2, shallow_layers=(1,), deep_layers=1)


X = torch.zeros(2, 3, 2, 4, 6, dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 2, 4, 6), r"shape \(2, 2, 4, 6\).*\(batch, frames, 2, height, width\)"),
        ((2, 3, 5, 4, 6), r"shape \(2, 3, 5, 4, 6\).*\(batch, frames, 2, height, width\)"),
        ((2, 0, 2, 4, 6), r"shape \(2, 0, 2, 4, 6\)"),
        ((2, 3, 2, 4, 5), r"4x5 cannot be cut into patches of 2x2.*multiples of 2"),
    ],
)
def test_latents(flow: StarFlowModel, text: Tensor, shape: tuple[int, ...], message: str) -> None:
    wrong = torch.zeros(shape, dtype=torch.float64)
    for call in (flow, flow.log_prob, flow.solve):
        with pytest.raises(ValueError, match=message):
            call(wrong, text)


@pytest.mark.parametrize("wrong", [None, (2, 3, 5), (1, 3, 6), (2, 6)])
def test_text(flow: StarFlowModel, make_denoiser: Any, wrong: tuple[int, ...] | None) -> None:
    words = None if wrong is None else torch.zeros(wrong, dtype=torch.float64)
    got = "got none" if wrong is None else str(wrong).replace("(", r"\(").replace(")", r"\)")
    denoiser = make_denoiser(patch_size=2)
    for call in (flow, flow.solve, denoiser, lambda *a: list(denoiser.denoise_frames([X], a[1]))):
        with pytest.raises(ValueError, match=rf"text.*{got}.*expected \(2, length, 6\)"):
            call(X, words)


def test_text_for_a_model_without(make_flow: Any, make_denoiser: Any, text: Tensor) -> None:
    for model in (make_flow(text_dim=None), make_denoiser(text_dim=None)):
        with pytest.raises(ValueError, match="expected none"):
            model(X, text)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 2, 4, 6), "prefix of 4 frames is longer than the noise's 3"),
        ((1, 1, 2, 4, 6), "all but the number of frames"),
        ((2, 1, 2, 4, 4), "all but the number of frames"),
        ((2, 2, 4, 6), "all but the number of frames"),
    ],
)
def test_prefix(flow: StarFlowModel, text: Tensor, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flow.solve(X, text, prefix=torch.zeros(shape, dtype=torch.float64))


def test_null_text(flow: StarFlowModel, text: Tensor) -> None:
    guidance = DensityGuidance(1.0)
    with pytest.raises(ValueError, match=r"guidance needs .*null_text"):
        flow.solve(X, text, guidance=guidance)
    with pytest.raises(ValueError, match=r"null_text of shape \(2, 2, 6\)"):
        flow.solve(X, text, guidance=guidance, null_text=text[:, :2])
    one, both = text[:1], text[:1].expand_as(text)
    sample = flow.inverse(X, text, guidance=guidance, null_text=one)
    assert torch.equal(sample, flow.inverse(X, text, guidance=guidance, null_text=both))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shallow_groups": 1}, "shallow_groups=1.*at least 2"),
        ({"deep_groups": 0}, "deep_groups=0.*1 .frame-causal."),
        ({"head_dim": 12}, "head_dim=12.*multiple of 4.*at least 16"),
        ({"head_dim": 22, "deep_width": 44}, "head_dim=22.*multiple of 4"),
        ({"deep_width": 50}, "width=50 is not a multiple of head_dim=20"),
        ({"soft_clip": 0.0}, "soft_clip=0.0"),
    ],
)
def test_arguments_of_a_flow(make_flow: Any, changes: dict[str, Any], message: str) -> None:
    widths = {} if changes.get("head_dim") != 12 else {"shallow_width": 12, "deep_width": 12}
    widths |= {} if changes.get("head_dim") != 22 else {"shallow_width": 22}
    with pytest.raises(ValueError, match=message):
        make_flow(**(widths | changes))


def test_groups_that_do_not_divide_a_frame(make_flow: Any, text: Tensor) -> None:
    flow = make_flow(deep_groups=4)
    with pytest.raises(ValueError, match=r"4 groups per frame do not divide the 2x3 = 6 tokens"):
        flow(X[..., :2, :3], text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "window=0.*at least 1"),
        ({"lookahead_layers": 4}, r"lookahead_layers=4 is not in 0 \.\. 3"),
        ({"lookahead_layers": -1}, "lookahead_layers=-1"),
    ],
)
def test_arguments_of_a_denoiser(make_denoiser: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_denoiser(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DensityGuidance(-0.1), "weight -0.1.*0 .off. or more"),
        (lambda: DensityGuidance(float("nan")), "weight nan"),
        (lambda: DensityGuidance(float("inf")), "weight inf"),
        (lambda: ContextWindow(4, 4), "window of 4 frames cannot carry 4"),
        (lambda: ContextWindow(4, -1), "window of 4 frames cannot carry -1"),
        (lambda: JacobiSolver(0), "block_size=0"),
        (lambda: JacobiSolver(4, first_block_size=0), "first_block_size=0"),
        (lambda: JacobiSolver(4, max_sweeps=0), "max_sweeps=0"),
        (lambda: JacobiSolver(4, tolerance=float("nan")), "tolerance=nan"),
        (lambda: JacobiSolver(4, norm="sum"), 'norm=\'sum\' is not known.*"mean" or "max"'),
        (lambda: ScoreDenoiser(None, -0.5), "noise_std=-0.5"),
    ],
)
def test_choices(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_denoiser_names_the_latents_that_do_not_fit(make_denoiser: Any, text: Tensor) -> None:
    denoiser: CausalDenoiser = make_denoiser(in_channels=3)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 2, 4, 6\).*frames, 3, height"):
        denoiser.denoise(X, text)
