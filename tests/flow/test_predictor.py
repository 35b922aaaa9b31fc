"""A predictor: what is proposed is a draft, what is committed stays."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import AffineParams, DensityGuidance
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.texts import Texts

EXACT = {"atol": 1e-10, "rtol": 1e-10}
GUIDANCE = DensityGuidance(2.0)


@pytest.fixture
def u(case: SimpleNamespace) -> Tensor:
    """The tokens between the halves in the deep block's order, (B, T·N, C)."""
    flow = case.flow
    with torch.no_grad():
        tokens, _ = flow.shallow(flow.to_tokens(case.x), flow.grid(case.x))
    return flow.deep.order.to_slots(tokens, flow.grid(case.x)).flatten(1, 2)


def deep_predictor(
    case: SimpleNamespace, guidance: DensityGuidance | None = None, frames: int = 3
) -> Predictor:
    return case.flow.deep.predictor(
        case.text,
        case.flow.grid(case.x),
        frames=frames,
        device=case.x.device,
        null_text=case.null_text,
        guidance=guidance,
    )


def noise_of(case: SimpleNamespace) -> Tensor:
    """z in the order of the deep block's slots."""
    tokens = case.flow.to_tokens(case.z)
    return case.flow.deep.order.to_slots(tokens, case.flow.grid(case.z)).flatten(1, 2)


def propose_and_commit(predictor: Predictor, u: Tensor, sizes: list[int]) -> AffineParams:
    chunks = []
    for chunk in u.split(sizes, dim=1):
        chunks.append(predictor.propose(chunk))
        predictor.commit(chunk)
    return AffineParams(
        torch.cat([chunk.shift for chunk in chunks], dim=1),
        torch.cat([chunk.scale for chunk in chunks], dim=1),
    )


def sizes(predictor: Predictor, u: Tensor, cut: int) -> list[int]:
    """One group, then chunks of `cut` groups."""
    group, rest = predictor.group, u.shape[1] - predictor.group
    size = cut * group
    return [group, *[size] * (rest // size), *([rest % size] if rest % size else [])]


@torch.no_grad()
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_proposing_in_chunks_is_teacher_forcing(case: SimpleNamespace, u: Tensor, cut: int) -> None:
    predictor = deep_predictor(case)
    params = propose_and_commit(predictor, u, sizes(predictor, u, cut))
    assert_close(params.normalize(u), noise_of(case), **EXACT)


@torch.no_grad()
def test_a_whole_video_is_one_proposal(case: SimpleNamespace, u: Tensor) -> None:
    assert_close(deep_predictor(case).propose(u).normalize(u), noise_of(case), **EXACT)


@torch.no_grad()
def test_what_was_proposed_and_not_committed_is_forgotten(case: SimpleNamespace, u: Tensor) -> None:
    predictor = deep_predictor(case)
    half = case.tokens
    predictor.propose(u[:, :half] + 1)
    predictor.propose(u[:, :half])
    predictor.commit(u[:, :half])
    predictor.propose(u[:, half:].flip(1))
    params = predictor.propose(u[:, half:])
    assert_close(params.normalize(u[:, half:]), noise_of(case)[:, half:], **EXACT)


@torch.no_grad()
def test_the_beginning_of_a_proposal_may_be_committed(case: SimpleNamespace, u: Tensor) -> None:
    predictor = deep_predictor(case)
    predictor.propose(u)
    predictor.commit(u[:, : case.tokens])
    params = predictor.propose(u[:, case.tokens :])
    assert_close(params.normalize(u[:, case.tokens :]), noise_of(case)[:, case.tokens :], **EXACT)


@torch.no_grad()
def test_after_a_restart_all_begins_again_but_the_text(case: SimpleNamespace, u: Tensor) -> None:
    predictor = deep_predictor(case)
    propose_and_commit(predictor, u.flip(1), sizes(predictor, u, 2))
    predictor.restart()
    params = propose_and_commit(predictor, u, sizes(predictor, u, 2))
    assert_close(params.normalize(u), noise_of(case), **EXACT)


@torch.no_grad()
def test_two_predictors_of_one_block_do_not_meet(case: SimpleNamespace, u: Tensor) -> None:
    first, second = deep_predictor(case), deep_predictor(case)
    first.propose(u)
    second.propose(u.flip(1))
    first.commit(u[:, : case.tokens])
    params = first.propose(u[:, case.tokens :])
    assert_close(params.normalize(u[:, case.tokens :]), noise_of(case)[:, case.tokens :], **EXACT)


@torch.no_grad()
def test_guided_it_is_the_formula_of_two_predictors(text_case: SimpleNamespace) -> None:
    case, guess = text_case, noise_of(text_case)
    guided = deep_predictor(case, GUIDANCE)
    other = SimpleNamespace(**(vars(case) | {"text": case.null_text, "null_text": None}))
    cut = sizes(guided, guess, 2)
    expected = GUIDANCE(
        propose_and_commit(deep_predictor(case), guess, cut),
        propose_and_commit(deep_predictor(other), guess, cut),
    )
    params = propose_and_commit(guided, guess, cut)
    assert_close((params.shift, params.scale), (expected.shift, expected.scale), **EXACT)
    guided.restart()
    again = propose_and_commit(guided, guess, cut)
    assert_close((again.shift, again.scale), (expected.shift, expected.scale), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("guidance", [None, GUIDANCE])
def test_a_restart_may_read_another_text(
    text_case: SimpleNamespace, guidance: DensityGuidance | None
) -> None:
    case, guess = text_case, noise_of(text_case)
    other = SimpleNamespace(**(vars(case) | {"text": 2 * case.text, "null_text": -case.null_text}))
    predictor, fresh = deep_predictor(case, guidance), deep_predictor(other, guidance)
    cut = sizes(predictor, guess, 2)
    propose_and_commit(predictor, guess.flip(1), cut)
    predictor.restart(Texts(other.text, other.null_text).for_predictor(guidance))
    params, expected = (propose_and_commit(it, guess, cut) for it in (predictor, fresh))
    assert_close((params.shift, params.scale), (expected.shift, expected.scale), **EXACT)
    predictor.restart()  # and keeps it
    params = propose_and_commit(predictor, guess, cut)
    assert_close((params.shift, params.scale), (expected.shift, expected.scale), **EXACT)
