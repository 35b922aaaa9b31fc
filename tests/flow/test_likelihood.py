"""Likelihood: token by token, frame by frame, and of videos longer than the window."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from starflow_v import ContextWindow, StarFlowModel
from starflow_v.flow.likelihood import bits, token_log_prob
from starflow_v.flow.solver import SequentialSolver
from starflow_v.flow.texts import Texts
from tests.conftest import Make, draw

WINDOW = ContextWindow(3, 2)
SOLVER = SequentialSolver()


def frame_log_probs(case: SimpleNamespace, x: torch.Tensor) -> torch.Tensor:
    z, log_det = case.flow(x, case.text, return_dict=False)
    return token_log_prob(z, log_det).sum(dim=(2, 3))


@torch.no_grad()
def test_frames_add_up_to_the_video(case: SimpleNamespace) -> None:
    assert_close(frame_log_probs(case, case.x).sum(1), case.flow.log_prob(case.x, case.text))


@torch.no_grad()
def test_a_frame_is_conditioned_on_earlier_ones_alone(case: SimpleNamespace) -> None:
    """The first frames have the same bits whatever comes after them, or nothing does."""
    other = case.x.clone()
    other[:, 2:] += 1
    assert_close(frame_log_probs(case, other)[:, :2], frame_log_probs(case, case.x)[:, :2])
    assert_close(frame_log_probs(case, case.x[:, :1]), frame_log_probs(case, case.x)[:, :1])


@torch.no_grad()
def test_texts_of_a_video_differ_in_what_the_deep_block_says(case: SimpleNamespace) -> None:
    if case.text is None:
        return
    flow, x, other = case.flow, case.x, case.text.flip(1) + 0.1
    u, grid = flow.forward_shallow(x), flow.grid(x)
    deep = flow.deep.log_prob(u, case.text, grid) - flow.deep.log_prob(u, other, grid)
    whole = flow.log_prob(x, case.text) - flow.log_prob(x, other)
    assert whole.abs().min() > 1e-3
    assert_close(deep, whole)


def test_a_fresh_flow_is_the_normal_distribution() -> None:
    """Its weights make it the identity, so the bits have a closed form."""
    torch.manual_seed(0)
    flow = StarFlowModel(
        in_channels=2, patch_size=2, shallow_width=64, deep_width=64, deep_layers=1, text_dim=None
    )
    x = torch.randn(1, 2, 2, 4, 6)
    output = flow(x)
    tokens = token_log_prob(output.z, output.log_det)
    normal = -(x.square() + math.log(2 * math.pi)) / 2
    assert tokens.shape == (1, 2, 2, 3)
    assert_close(tokens[0, 1, 1, 2], normal[0, 1, :, 2:4, 4:6].sum(), atol=1e-4, rtol=0)
    nothing = bits(torch.tensor([-math.log(2) * 12]), dimensions=12)
    assert_close(nothing, torch.ones(1))


@torch.no_grad()
def test_in_windows_it_is_the_inverse_of_solving_in_windows(make_flow: Make) -> None:
    flow = make_flow()
    text, again = draw(1, 3, 6, seed=1), draw(1, 3, 6, seed=2)
    z = draw(1, 8, 2, 2, 2, seed=3)
    x = flow.inverse(z, text, window=WINDOW)
    assert_close(flow(x, text, window=WINDOW).z, z)
    u = torch.cat(
        [
            frame
            for frame, _ in flow.solve_deep(
                iter(z.split(1, dim=1)),
                text,
                frames=8,
                solver=SOLVER,
                window=WINDOW,
                restart=Texts(again),
            )
        ],
        dim=1,
    )
    x, _ = flow.solve_shallow(u, SOLVER)
    assert_close(flow(x, text, window=WINDOW, restart_text=again).z, z)
    assert not torch.allclose(flow(x, text, window=WINDOW).z[:, 3:], z[:, 3:])


@torch.no_grad()
def test_a_video_that_fits_needs_no_window(case: SimpleNamespace) -> None:
    whole = case.flow(case.x, case.text)
    windowed = case.flow(case.x, case.text, window=WINDOW)
    assert_close(windowed.z, whole.z)
    assert_close(windowed.log_det, whole.log_det)


@pytest.mark.parametrize("overlap", [0, 1])
@torch.no_grad()
def test_the_likelihood_in_windows_is_that_of_the_map(make_flow: Make, overlap: int) -> None:
    """The change of variables holds: its log-determinant is that of the Jacobian."""
    flow, window = make_flow(text_dim=None), ContextWindow(2, overlap)
    x = draw(1, 4, 2, 1, 2, seed=4)
    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(
            lambda values: flow(values.view_as(x), window=window).z.flatten(), x.flatten()
        )
    log_det = flow(x, window=window).log_det.sum()
    assert_close(log_det, torch.linalg.slogdet(jacobian).logabsdet)
