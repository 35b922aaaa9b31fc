"""The sliding solver keeps its promise on any block, whatever the guesses were."""

import math
import warnings
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from starflow_v import AffineParams, ContextWindow, DensityGuidance, SlidingSolver
from starflow_v.flow.solver import Cost, Solver, solve_at
from starflow_v.flow.solver.spread import Spread

EXACT = {"atol": 1e-9, "rtol": 1e-9}
GUIDANCE = DensityGuidance(2.0)
TOLERANCE = 1e-3


class Block:
    """x_j = law(x_<j) + z_j, any law; committed tokens stay, proposals are counted.

    `seen` holds, for every committed token, the tokens that its parameters were computed from.
    """

    group = 1

    def __init__(self, law, memory: AffineParams | None = None) -> None:
        self.law, self.memory = law, memory
        self.committed = torch.zeros(0)
        self.seen: list[Tensor] = []
        self.proposed: list[int] = []

    def propose(self, guess: Tensor) -> AffineParams:
        self.proposed.append(guess.shape[1])
        base = self.committed if self.committed.ndim == 3 else guess[:, :0]
        self.draft = torch.cat((base, guess), dim=1)
        done = base.shape[1]
        rows = [self.law(self.draft[:, :j]) for j in range(done, self.draft.shape[1])]
        shift = torch.stack(rows, dim=1)
        return AffineParams(shift, torch.ones_like(shift))

    def commit(self, tokens: Tensor) -> None:
        base = self.draft[:, : self.draft.shape[1] - self.proposed[-1]]
        for j in range(base.shape[1], base.shape[1] + tokens.shape[1]):
            self.seen.append(self.draft[:, :j].clone())
        self.committed = torch.cat((base, tokens), dim=1)

    def recall(self, count: int) -> AffineParams | None:
        return self.memory

    def restart(self, text: Tensor | None = None) -> None:
        raise NotImplementedError


def noise(tokens: int = 24, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, tokens, 3, generator=generator, dtype=torch.float64)


def weak(before: Tensor) -> Tensor:
    return 0.3 * before[:, -2:].sum(1).sin()


def strong(before: Tensor) -> Tensor:
    """A chain that stretches: plain Jacobi needs a sweep for every token."""
    return 3.0 * before[:, -1:].sum(1)


def exploding(before: Tensor) -> Tensor:
    """Finite along the answer, where the first token is near zero; far too large for guesses."""
    return (before[:, :1].sum(1) * 100).clamp(max=800).exp() - 1 + 0.1 * before[:, -1:].sum(1)


def sticky(before: Tensor) -> Tensor:
    """Stands still for a sweep, then moves: only every eighth token passes anything on."""
    count = before.shape[1]
    return 2.0 * before[:, count - 8] if count % 8 == 0 and count else 0.0 * before[:, -1:].sum(1)


LAWS = {"weak": weak, "strong": strong, "exploding": exploding, "sticky": sticky}


def solved_by_hand(law, z: Tensor) -> Tensor:
    x = z[:, :0]
    for j in range(z.shape[1]):
        x = torch.cat((x, (law(x) + z[:, j])[:, None]), dim=1)
    return x


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("span", [1, 5, None])
@pytest.mark.parametrize("guess", [None, noise(seed=1), 1e30 * noise(seed=1)], ids=str)
def test_every_token_solves_its_equation_and_saw_what_is_committed(law, span, guess) -> None:
    z = noise()
    z[:, 0] *= 1e-3
    block = Block(law)
    x, cost = SlidingSolver(span, TOLERANCE).solve(block, z, guess=guess)
    deviation = x.flatten(1).std(1, correction=0)
    for j in range(z.shape[1]):
        assert torch.equal(block.seen[j], x[:, :j]), "parameters of other tokens than committed"
        error = (x[:, j] - law(x[:, :j]) - z[:, j]).abs().amax(-1)
        assert (error <= TOLERANCE * deviation * (1 + 1e-9)).all()
    assert cost.evaluations == len(block.proposed) <= z.shape[1]
    assert cost.tokens == sum(block.proposed)
    assert cost.residual <= TOLERANCE
    assert cost.converged


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_tight_tolerance_is_the_sequential_answer(law) -> None:
    z = noise()
    z[:, 0] *= 1e-3
    x, _ = SlidingSolver(8, 1e-14).solve(Block(law), z)
    assert_close(x, solved_by_hand(law, z), **EXACT)


def test_a_tolerance_of_zero_is_the_sequential_solver() -> None:
    z, block = noise(), Block(strong)
    x, cost = SlidingSolver(8, 0.0).solve(block, z)
    assert torch.equal(x, solved_by_hand(strong, z))
    assert block.proposed == [1] * 24
    assert cost == Cost(evaluations=24, tokens=24)


def test_the_window_slides() -> None:
    """Tokens that stand are not evaluated again, and no evaluation is longer than the span."""
    block = Block(weak)
    _, cost = SlidingSolver(6, 1e-2).solve(block, noise())
    assert max(block.proposed) == 6
    assert block.proposed[0] == 1, "a window that knows nothing begins with one group"
    assert cost.evaluations < 24


def test_parameters_of_the_frame_before_are_the_first_guess() -> None:
    z = noise()
    x = solved_by_hand(weak, z)
    memory = AffineParams(x - z, torch.ones_like(z))
    block = Block(weak, memory)
    _, cost = SlidingSolver(None, 1e-9).solve(block, z)
    assert cost.evaluations == 1
    assert block.proposed == [24]


def test_a_secant_sees_through_a_chain() -> None:
    """The error of a chain travels one token a sweep; what it is multiplied by is learned once."""
    z, guess = noise()[..., :1], noise(seed=1)[..., :1]
    block = Block(lambda before: 0.5 * before[:, -1:].sum(1))
    _, cost = SlidingSolver(None, 1e-9).solve(block, z, guess=guess)
    assert cost.evaluations <= 8


def test_each_sample_stands_at_its_own_place() -> None:
    """A second sample that is done at once neither helps nor hinders the first one."""
    z = noise()
    guess = noise(seed=1)
    guess[1] = solved_by_hand(weak, z)[1]
    both, spent = SlidingSolver(None, TOLERANCE).solve(Block(weak), z, guess=guess)
    alone, spent_alone = SlidingSolver(None, TOLERANCE).solve(Block(weak), z[:1], guess=guess[:1])
    assert torch.equal(both[0], alone[0])
    assert torch.equal(both[1], guess[1]), "it was right, so it was not touched"
    assert spent.evaluations == spent_alone.evaluations


def test_a_cap_warns_and_says_what_is_left() -> None:
    z = noise()
    solver = SlidingSolver(None, 1e-9, max_sweeps=2)
    with pytest.warns(UserWarning, match=r"block 3: the cap.*above the tolerance; raise"):
        x, cost = solve_at("block 3", solver, Block(weak), z, guess=noise(seed=1))
    assert cost.evaluations == 3
    assert not cost.converged
    left = max(float((x[:, j] - weak(x[:, :j]) - z[:, j]).abs().max()) for j in range(z.shape[1]))
    assert 1e-9 < left <= cost.residual * float(x.flatten(1).std(1).max())


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 9])
def test_an_answer_that_is_no_number_is_refused(value: float, place: int) -> None:
    z = noise()
    z[1, place, 0] = value
    with pytest.raises(FloatingPointError, match="tokens became NaN or infinite"):
        SlidingSolver(8).solve(Block(weak), z)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"span": 0}, "span=0"),
        ({"max_sweeps": 0}, "max_sweeps=0"),
        ({"tolerance": math.nan}, "tolerance=nan"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlidingSolver(**changes)


def test_the_spread_of_what_stands_is_no_more_than_that_of_all() -> None:
    x = noise(tokens=12)
    spread = Spread(x[0].numel())
    spread.add(x[:, :4])
    bound = spread.including(x[:, 4:])
    deviation = x.flatten(1).std(1, correction=0)
    assert (bound.diff(dim=1) >= 0).all()
    assert (bound <= deviation[:, None] * (1 + 1e-12)).all()
    assert_close(bound[:, -1], deviation)


# Every kind of flow.


@pytest.mark.parametrize("span", [3, None])
def test_it_is_sequential(case: SimpleNamespace, span: int | None) -> None:
    solver = SlidingSolver(span, 1e-13)
    solution = case.flow.solve(case.z, case.text, solver=solver)
    assert_close(solution.latents, case.x, **EXACT)
    assert solution.converged


@pytest.mark.parametrize("solver", [SlidingSolver(2), SlidingSolver(None)], ids=repr)
def test_it_needs_no_more_evaluations_than_tokens(case: SimpleNamespace, solver: Solver) -> None:
    spent = case.flow.solve(case.z, case.text, solver=solver)
    exact = case.flow.solve(case.z, case.text)
    assert all(spent.evaluations[half] <= exact.evaluations[half] for half in exact.evaluations)
    assert spent.residual <= TOLERANCE


def test_guided_with_a_prefix_and_restarts_it_is_sequential(text_case: SimpleNamespace) -> None:
    case = text_case
    noise = torch.cat((case.z, case.x, case.z.flip(1)), dim=1)[:, :7]
    arguments = {
        "guidance": GUIDANCE,
        "null_text": case.null_text,
        "prefix": case.x[:, :2],
        "window": ContextWindow(3, 1),
    }
    assert_close(
        case.flow.inverse(noise, case.text, **arguments, solver=SlidingSolver(4, 1e-13)),
        case.flow.inverse(noise, case.text, **arguments),
        **EXACT,
    )


def in_dtype(case: SimpleNamespace, dtype: torch.dtype) -> SimpleNamespace:
    """The same case with rounded weights; its float64 one stays as it is."""
    flow = nn.Module.to(deepcopy(case.flow), dtype)
    return SimpleNamespace(flow=flow, text=case.text.to(dtype), x=case.x.float(), z=case.z.float())


def test_in_single_precision_the_equations_hold(text_case: SimpleNamespace) -> None:
    case = in_dtype(text_case, torch.float32)
    flow = case.flow
    grid = flow.grid(case.x)
    deep = flow.deep
    predictor = deep.predictor(case.text, grid, frames=3, device=case.x.device)
    z = deep.order.to_slots(flow.to_tokens(case.z), grid)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        solved = [SlidingSolver(None, TOLERANCE).solve(predictor, z[:, t])[0] for t in range(3)]
        x = torch.cat(solved, dim=1)
        predictor.restart()
        again = predictor.propose(x).denormalize(z.flatten(1, 2))
    deviation = torch.stack([part.flatten(1).std(1, correction=0) for part in solved]).amax(0)
    assert ((x - again).flatten(1).abs().amax(1) <= 1.001 * TOLERANCE * deviation).all()


def test_in_half_precision_it_is_as_near_as_one_after_the_other(
    text_case: SimpleNamespace,
) -> None:
    """Rounding may keep residuals above the tolerance; the front moves on all the same."""
    case = in_dtype(text_case, torch.bfloat16)
    exact = text_case.x.float()
    ours = case.flow.solve(case.z, case.text, solver=SlidingSolver())
    others = case.flow.solve(case.z, case.text)
    assert ours.latents.dtype == torch.float32
    assert all(ours.evaluations[half] <= spent for half, spent in others.evaluations.items())
    error, usual = ((it.latents - exact).abs().max() for it in (ours, others))
    assert error <= 2 * usual + 1e-2


def test_noise_in_half_precision_is_raised(text_case: SimpleNamespace) -> None:
    """What stands was rounded to it: ten times the tolerance, and it said that it had converged."""
    case, z = in_dtype(text_case, torch.float32), text_case.z.bfloat16()
    ours, raised = (
        case.flow.inverse(it, case.text, solver=SlidingSolver()) for it in (z, z.float())
    )
    assert torch.equal(ours, raised)


def test_trouble_is_named(text_case: SimpleNamespace) -> None:
    case = text_case
    noise = case.z.clone()
    noise[0, 1] = math.nan
    with pytest.raises(FloatingPointError, match="latent frame 1 in the deep block: tokens became"):
        case.flow.inverse(noise, case.text, solver=SlidingSolver())
