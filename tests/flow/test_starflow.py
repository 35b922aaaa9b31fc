"""The identities of the flow, in float64, for every kind of model in `conftest.VARIANTS`."""

import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.func import jacrev
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    DensityGuidance,
    JacobiSolver,
    SequentialSolver,
    StarFlowModel,
)

EXACT = {"atol": 1e-9, "rtol": 1e-9}
GUIDANCE = DensityGuidance(2.0)


def tokens_of(flow: StarFlowModel, latents: Tensor) -> Tensor:
    """(B, T, c, h, w) -> (B, T, N) of anything that differs from zero in a token."""
    return flow.to_tokens(latents).abs().amax(-1)


def evaluations(case: SimpleNamespace, frames: int) -> dict[str, int]:
    """One network call for every group of every block, the shallow frames side by side."""
    deep = case.flow.config["deep_groups"] or case.tokens
    shallow = case.flow.config["shallow_groups"] or case.tokens
    return {"deep": frames * deep, "shallow": case.blocks * shallow}


def test_inverse_of_forward_is_the_identity(case: SimpleNamespace) -> None:
    assert_close(case.flow.inverse(case.z, case.text), case.x, **EXACT)


def test_forward_of_inverse_is_the_identity(case: SimpleNamespace) -> None:
    noise = case.x.flip(1)
    z, _ = case.flow(case.flow.inverse(noise, case.text), case.text, return_dict=False)
    assert_close(z, noise, **EXACT)


def test_log_det_is_that_of_the_jacobian(case: SimpleNamespace) -> None:
    x, text = case.x[:1, :2], None if case.text is None else case.text[:1]
    jacobian = jacrev(lambda x: case.flow(x, text).z)(x).reshape(x.numel(), x.numel())
    log_det = case.flow(x, text).log_det
    assert log_det.shape == (1, 2, *case.flow.grid(x))
    assert_close(log_det.sum(), torch.linalg.slogdet(jacobian).logabsdet)


def test_log_det_of_a_token_is_summed_over_the_halves(case: SimpleNamespace) -> None:
    flow, grid = case.flow, case.flow.grid(case.x)
    u, local = flow.shallow(flow.to_tokens(case.x), grid)
    _, overall = flow.deep(u, case.text, grid)
    assert_close(case.log_det.flatten(2), local + overall)


def test_log_prob_is_the_change_of_variables(case: SimpleNamespace) -> None:
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(case.z).flatten(1).sum(1)
    expected = normal + case.log_det.flatten(1).sum(1)
    assert_close(case.flow.log_prob(case.x, case.text), expected)


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_no_frame_heeds_a_later_one(case: SimpleNamespace, frame: int) -> None:
    changed = case.x.clone()
    changed[:, frame] += 1
    z = case.flow(changed, case.text).z
    assert_close(z[:, :frame], case.z[:, :frame], atol=1e-12, rtol=1e-12)
    moved = (z - case.z).flatten(2).abs().amax(-1)
    assert (moved[:, frame:] > 1e-12).all(), "later frames must heed it"


def test_within_a_frame_the_deep_block_heeds_earlier_groups_only(case: SimpleNamespace) -> None:
    flow, grid = case.flow, case.flow.grid(case.x)
    groups = flow.deep.groups or case.tokens
    u = flow.to_tokens(case.x)
    z, _ = flow.deep(u, case.text, grid)
    for slot in range(case.tokens):
        changed = flow.deep.order.to_slots(u, grid).clone()
        changed[:, 1, slot] += 1
        moved = flow.deep(flow.deep.order.to_raster(changed, grid), case.text, grid)[0] - z
        moved = flow.deep.order.to_slots(moved, grid)[:, 1].abs().amax(-1) > 1e-12
        group = slot * groups // case.tokens
        expected = [j * groups // case.tokens > group or j == slot for j in range(case.tokens)]
        assert moved.tolist() == [expected] * len(moved)


def test_text_reaches_every_token(text_case: SimpleNamespace) -> None:
    z = text_case.flow(text_case.x, text_case.text + 1).z
    assert (tokens_of(text_case.flow, z - text_case.z) > 1e-12).all()


def test_an_image_is_a_video_of_one_frame(case: SimpleNamespace) -> None:
    assert_close(case.flow(case.x[:, :1], case.text).z, case.z[:, :1], **EXACT)


def test_a_sample_does_not_depend_on_its_batch(case: SimpleNamespace) -> None:
    text = None if case.text is None else case.text[1:]
    assert_close(case.flow.inverse(case.z[1:], text), case.x[1:], **EXACT)


def test_sequential_evaluates_every_token_once(case: SimpleNamespace) -> None:
    solution = case.flow.solve(case.z, case.text)
    assert solution.evaluations == evaluations(case, frames=3)
    assert solution.passes == {"deep": 1.0, "shallow": float(case.blocks)}
    assert (solution.residual, solution.converged) == (0.0, True)


def test_guidance_costs_no_further_sequential_evaluation(text_case: SimpleNamespace) -> None:
    solution = text_case.flow.solve(
        text_case.z, text_case.text, guidance=GUIDANCE, null_text=text_case.null_text
    )
    assert solution.evaluations == evaluations(text_case, frames=3)
    assert not torch.allclose(solution.latents, text_case.x)


def test_weight_zero_is_conditional(text_case: SimpleNamespace) -> None:
    solution = text_case.flow.solve(
        text_case.z, text_case.text, guidance=DensityGuidance(0.0), null_text=text_case.null_text
    )
    assert_close(solution.latents, text_case.x, **EXACT)


def test_guidance_towards_the_same_text_is_conditional(text_case: SimpleNamespace) -> None:
    """With equal parameters s = 1, and the formula is the identity at every weight."""
    sample = text_case.flow.inverse(
        text_case.z, text_case.text, guidance=GUIDANCE, null_text=text_case.text
    )
    assert_close(sample, text_case.x, **EXACT)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_a_committed_prefix_reproduces_the_rest(case: SimpleNamespace, known: int) -> None:
    noise = case.z.clone()
    noise[:, :known] = 0  # not looked at
    solution = case.flow.solve(noise, case.text, prefix=case.x[:, :known])
    assert_close(solution.latents, case.x, **EXACT)
    assert torch.equal(solution.latents[:, :known], case.x[:, :known])
    if known < 3:
        expected = evaluations(case, frames=3 - known)
        assert solution.evaluations == expected | {"deep": expected["deep"] + 1}
        assert solution.passes["deep"] == 1.0


@pytest.mark.parametrize("norm", ["mean", "max"])
@pytest.mark.parametrize(("block_size", "first_block_size"), [(3, 2), (99, None)])
def test_jacobi_is_sequential(
    case: SimpleNamespace, norm: str, block_size: int, first_block_size: int | None
) -> None:
    solver = JacobiSolver(block_size, first_block_size, tolerance=1e-24, norm=norm)
    solution = case.flow.solve(case.z, case.text, solver=solver)
    assert_close(solution.latents, case.x, **EXACT)
    assert solution.converged


def test_jacobi_without_tolerance_is_exact(case: SimpleNamespace) -> None:
    solution = case.flow.solve(case.z, case.text, solver=JacobiSolver(4, tolerance=0))
    assert_close(solution.latents, case.x, **EXACT)
    assert (solution.residual, solution.converged) == (0.0, True)


def test_jacobi_with_guidance_and_prefix_is_sequential(text_case: SimpleNamespace) -> None:
    arguments = {
        "guidance": GUIDANCE,
        "null_text": text_case.null_text,
        "prefix": text_case.x[:, :1],
    }
    solver = JacobiSolver(4, tolerance=0)
    assert_close(
        text_case.flow.inverse(text_case.z, text_case.text, **arguments, solver=solver),
        text_case.flow.inverse(text_case.z, text_case.text, **arguments),
        **EXACT,
    )


def test_a_window_that_is_never_full_changes_nothing(case: SimpleNamespace) -> None:
    sample = case.flow.inverse(case.z, case.text, window=ContextWindow(3, 1))
    assert_close(sample, case.x, **EXACT)


@pytest.mark.parametrize(("frames", "overlap"), [(2, 0), (3, 1)])
def test_a_window_is_manual_restarts(case: SimpleNamespace, frames: int, overlap: int) -> None:
    """A video of more than twice the window, once at a stroke and once restart by restart.

    A prefix of x is what a restart carries over: shallow blocks turn it into the same frames of u.
    """
    noise = torch.cat((case.z, case.x, case.z.flip(1)), dim=1)[:, : 2 * frames + 1]
    window = ContextWindow(frames, overlap)
    manual = case.flow.inverse(noise[:, :frames], case.text)
    while manual.shape[1] < noise.shape[1]:
        done = manual.shape[1]
        chunk = noise[:, done - overlap : done - overlap + frames]
        carried = manual[:, done - overlap :]
        chunk = case.flow.inverse(chunk, case.text, prefix=carried if overlap else None)
        manual = torch.cat((manual, chunk[:, overlap:]), dim=1)
    assert_close(case.flow.inverse(noise, case.text, window=window), manual, **EXACT)


@pytest.mark.parametrize("known", [2, 3, 4, 6])
def test_a_long_prefix_continues_in_the_phase_of_the_unbroken_run(
    case: SimpleNamespace, known: int
) -> None:
    noise = torch.cat((case.z, case.x, case.z.flip(1)), dim=1)[:, :7]
    window = ContextWindow(3, 1)
    unbroken = case.flow.inverse(noise, case.text, window=window)
    sample = case.flow.inverse(noise, case.text, prefix=unbroken[:, :known], window=window)
    assert_close(sample, unbroken, **EXACT)


def test_frames_come_as_soon_as_their_noise_is_there(case: SimpleNamespace) -> None:
    asked: list[int] = []

    def noise() -> Iterator[Tensor]:
        for frame in range(3):
            asked.append(frame)
            yield case.z[:, frame : frame + 1]

    solver = SequentialSolver()
    us = []
    for count, (u, _) in enumerate(
        case.flow.solve_deep(noise(), case.text, frames=3, solver=solver), start=1
    ):
        assert len(asked) == count
        us.append(u)
    x, _ = case.flow.solve_shallow(torch.cat(us, dim=1), solver)
    assert_close(x, case.x, **EXACT)


def test_a_fresh_flow_is_the_standard_normal() -> None:
    flow = StarFlowModel(
        in_channels=2, shallow_width=20, deep_width=20, shallow_layers=(1,), deep_layers=1,
        head_dim=20, text_dim=None,
    )  # fmt: skip
    x = torch.linspace(-2, 2, 48).reshape(2, 3, 2, 2, 2)
    expected = -0.5 * (x.square() + math.log(2 * math.pi)).flatten(1).sum(1)
    assert_close(flow.log_prob(x), expected)
    assert_close(flow(x).z, x)
