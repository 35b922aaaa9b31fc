"""Arrangements of the shallow blocks: the same networks, invertible, and causal or not as told."""

from itertools import chain

import pytest
import torch
from torch import Generator
from torch.testing import assert_close

from benchmarks.arrangements import (
    ARRANGEMENTS,
    CausalSequence,
    GlobalLocal,
    RollingShallow,
    TwoWaySequence,
)
from starflow_v import ContextWindow, SequentialSolver, StarFlowModel
from starflow_v.sampling.stages import DeepStage
from tests.pipelines.conftest import scatter

STREAMING = (GlobalLocal(), CausalSequence())
SHAPE = (2, 5, 4, 2, 2)
WINDOW = ContextWindow(3, 2)


def tiny_flow() -> StarFlowModel:
    torch.manual_seed(0)
    flow = StarFlowModel(
        in_channels=4,
        shallow_width=24,
        deep_width=24,
        shallow_layers=(1, 2),
        deep_layers=1,
        head_dim=24,
        text_dim=None,
        reference_size=4,
    )
    return scatter(flow)


def arranged(arrangement) -> StarFlowModel:
    flow = tiny_flow()
    arrangement.arrange(flow)
    return flow


def draw(seed: int = 1):
    return torch.randn(SHAPE, generator=Generator().manual_seed(seed))


def rolled(arrangement, flow, noise, window):
    """z -> x as the benchmark samples."""
    shallow, held = arrangement.sampler(flow, SequentialSolver(), window)
    deep = DeepStage(flow, None, noise.shape[1], SequentialSolver(), window=held)
    return torch.cat(list(shallow(deep(iter([noise])))), dim=1)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=lambda it: it.name)
def test_the_networks_are_the_same(arrangement):
    own, other = tiny_flow().state_dict(), arranged(arrangement).state_dict()
    assert_close(other, own, rtol=0, atol=0)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=lambda it: it.name)
def test_inverse_of_forward_is_the_identity(arrangement):
    flow, x = arranged(arrangement), draw()
    with torch.no_grad():
        z, _ = flow(x, return_dict=False)
    assert (z - x).abs().max() > 0.1
    assert_close(flow.inverse(z), x, rtol=0, atol=1e-4)
    assert_close(rolled(arrangement, flow, z, ContextWindow(5, 4)), x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=lambda it: it.name)
def test_the_log_determinant_is_that_of_the_jacobian(arrangement):
    flow, x = arranged(arrangement).double(), draw()[:1, :3].double()
    jacobian = torch.autograd.functional.jacobian(lambda it: flow(it, return_dict=False)[0], x)
    _, log_det = flow(x, return_dict=False)
    assert_close(log_det.sum(), torch.linalg.slogdet(jacobian.reshape(48, 48)).logabsdet)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=lambda it: it.name)
def test_what_u_of_a_frame_depends_on(arrangement):
    """On the frame alone, on it and those before, on all."""
    flow, x = arranged(arrangement), draw()[:1]
    grid = flow.grid(x)
    jacobian = torch.autograd.functional.jacobian(
        lambda it: flow.shallow(it, grid)[0], flow.to_tokens(x)
    )
    heeds = jacobian.abs().sum((0, 2, 3, 4, 6, 7)) > 0
    everything = torch.ones(5, 5, dtype=torch.bool)
    expected = {
        "global_local": torch.eye(5, dtype=torch.bool),
        "causal_sequence": everything.tril(),
        "two_way_sequence": everything,
    }
    assert torch.equal(heeds, expected[arrangement.name])


def test_global_local_in_a_window_is_the_models_own():
    flow, noise = tiny_flow(), draw()
    own = flow.inverse(noise, window=WINDOW)
    assert_close(rolled(GlobalLocal(), flow, noise, WINDOW), own, rtol=0, atol=1e-5)


@pytest.mark.parametrize("arrangement", STREAMING, ids=lambda it: it.name)
def test_a_restart_goes_on_from_the_last_frames_of_x(arrangement):
    """Every frame after a restart is the one that those before it, as a prefix, are followed by."""
    flow, noise = arranged(arrangement), draw()
    x = rolled(arrangement, flow, noise, WINDOW)
    whole = chain(((0, 3),), ((t - 2, t + 1) for t in range(3, 5)))
    for start, stop in whole:
        with torch.no_grad():
            z, _ = flow(x[:, start:stop], return_dict=False)
        assert_close(z[:, -1], noise[:, stop - 1], rtol=0, atol=1e-4)


def test_the_cost_of_rolling_is_counted():
    flow, noise = arranged(CausalSequence()), draw()
    rolling = RollingShallow(flow, SequentialSolver(), WINDOW)
    deep = DeepStage(flow, None, 5, SequentialSolver(), window=rolling)
    list(rolling(deep(iter([noise]))))
    blocks, tokens, restarts = 2, 4, 2
    assert rolling.cost.evaluations == blocks * (5 * tokens + restarts)
    assert rolling.cost.tokens == blocks * tokens * (5 + restarts * WINDOW.overlap)


def test_only_the_two_way_sequence_makes_a_row_of_clips():
    assert list(TwoWaySequence().clips(85, 17)) == [17] * 5
    assert list(CausalSequence().clips(85, 17)) == [85]
