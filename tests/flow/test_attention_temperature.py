"""Guidance away from the same network, its attention flattened: it needs no other text."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import AffineParams, DensityGuidance, JacobiSolver, LinearGuidance, SlidingSolver
from starflow_v.flow.guidance import Guidance
from starflow_v.flow.predictor import Predictor
from starflow_v.flow.window import ContextWindow

EXACT = {"atol": 1e-9, "rtol": 1e-9}
RULES = [DensityGuidance(2.0, 1.7), LinearGuidance(0.5, 0.6)]


def predictor_of(case: SimpleNamespace, guidance: Guidance | None, flow=None) -> Predictor:
    return (flow or case.flow).deep.predictor(
        case.text,
        case.flow.grid(case.x),
        frames=3,
        device=case.x.device,
        null_text=case.text,
        guidance=guidance,
    )


def slots_of(case: SimpleNamespace) -> Tensor:
    tokens = case.flow.to_tokens(case.x)
    return case.flow.deep.order.to_slots(tokens, case.flow.grid(case.x)).flatten(1, 2)


def in_two_parts(predictor: Predictor, slots: Tensor, cut: int) -> AffineParams:
    first = predictor.propose(slots[:, :cut])
    predictor.commit(slots[:, :cut])
    rest = predictor.propose(slots[:, cut:])
    return AffineParams(
        torch.cat((first.shift, rest.shift), 1), torch.cat((first.scale, rest.scale), 1)
    )


def less_attentive(case: SimpleNamespace, temperature: float):
    """The same flow with its queries, and so the logits, divided by the temperature by hand."""
    flow = copy.deepcopy(case.flow)
    for layer in flow.deep.block.transformer.layers:
        width = layer.attention.proj.in_features
        layer.attention.qkv.weight.data[:width] /= temperature
        layer.attention.qkv.bias.data[:width] /= temperature
    return flow


@torch.no_grad()
@pytest.mark.parametrize("rule", RULES)
def test_the_other_branch_is_the_network_with_its_logits_divided(
    case: SimpleNamespace, rule: Guidance
) -> None:
    slots = slots_of(case)
    guided = predictor_of(case, rule)
    assert guided.group == predictor_of(case, None).group
    expected = rule(
        in_two_parts(predictor_of(case, None), slots, case.tokens),
        in_two_parts(
            predictor_of(case, None, less_attentive(case, rule.temperature)), slots, case.tokens
        ),
    )
    for _ in range(2):
        params = in_two_parts(guided, slots, case.tokens)
        assert params.shift.dtype == torch.float64
        assert_close((params.shift, params.scale), (expected.shift, expected.scale), **EXACT)
        recalled = guided.recall(case.tokens)
        assert recalled is not None
        assert_close(recalled.shift, expected.shift[:, : case.tokens], **EXACT)
        guided.restart()


@torch.no_grad()
def test_temperature_one_is_no_guidance(text_case: SimpleNamespace) -> None:
    """The other branch is then the model itself, told the same: there is nothing to leave."""
    case, slots = text_case, slots_of(text_case)
    plain = in_two_parts(predictor_of(case, None), slots, case.tokens)
    for temperature in (1.0, 1 + 1e-12):
        for rule in (DensityGuidance(3.0, temperature), LinearGuidance(3.0, temperature)):
            params = in_two_parts(predictor_of(case, rule), slots, case.tokens)
            assert_close((params.shift, params.scale), (plain.shift, plain.scale), **EXACT)


def test_weight_zero_is_the_model_at_any_temperature(case: SimpleNamespace) -> None:
    plain = case.flow.inverse(case.z, case.text)
    off = case.flow.inverse(
        case.z, case.text, null_text=case.text, guidance=DensityGuidance(0.0, 2.0)
    )
    assert_close(off, plain, rtol=0, atol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("window", [None, ContextWindow(2, 1)])
def test_the_solvers_agree(
    case: SimpleNamespace, rule: Guidance, window: ContextWindow | None
) -> None:
    told = {"null_text": case.text, "guidance": rule, "window": window}
    exact = case.flow.inverse(case.z, case.text, **told)
    assert exact.dtype == torch.float64
    plain = case.flow.inverse(case.z, case.text, window=window)
    assert not torch.allclose(exact, plain, atol=1e-6)
    for solver in (JacobiSolver(4, tolerance=0), SlidingSolver(4, tolerance=1e-12)):
        made = case.flow.inverse(case.z, case.text, solver=solver, **told)
        assert_close(made, exact, atol=1e-8, rtol=1e-8)


@torch.no_grad()
def test_it_has_an_inverse(case: SimpleNamespace) -> None:
    rule, flow, grid = RULES[0], case.flow, case.flow.grid(case.z)
    made = flow.inverse(case.z, case.text, null_text=case.text, guidance=rule)
    z = flow.deep.normalize_frames(flow.forward_shallow(made), grid, predictor_of(case, rule))
    assert_close(flow.to_latents(z, grid), case.z, atol=1e-8, rtol=1e-8)


def test_without_a_text_only_a_temperature_can_guide(make_flow) -> None:
    flow, noise = make_flow(text_dim=None), torch.zeros(1, 1, 2, 2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="temperature"):
        flow.inverse(noise, guidance=DensityGuidance(1.0))
    flow.inverse(noise, guidance=DensityGuidance(1.0, 1.5))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("rule", [DensityGuidance, LinearGuidance])
def test_other_temperatures_are_refused(rule, temperature: float) -> None:
    with pytest.raises(ValueError, match="attention temperature"):
        rule(1.0, temperature)
