"""One block: what the parameters of a token depend on."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v.flow.affine import AffineParams
from starflow_v.flow.block import FlowBlock
from starflow_v.nn.cache import SequenceCache
from starflow_v.nn.rope import Rotary, rotary, text_positions

TOKENS, CHANNELS, TEXT_DIM, TEXT_LENGTH = 8, 2, 6, 3
GROUPS = [1, 2, 4, 8]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positions(text: Tensor | None) -> Rotary:
    length = 0 if text is None else text.shape[1]
    return rotary(text_positions(TOKENS + length, reference=4.0), head_dim=20)


def propose(block: FlowBlock, x: Tensor, group: int, text: Tensor | None) -> AffineParams:
    """All tokens at once, as in training."""
    before = x[:, : TOKENS - group]
    return block(before, positions(text), count=TOKENS, group=group, text=text)


def raw(params: AffineParams) -> Tensor:
    return torch.cat((params.shift, params.scale), dim=-1)


@pytest.fixture(scope="module")
def block() -> FlowBlock:
    block = FlowBlock(CHANNELS, 40, layers=2, head_dim=20, text_dim=TEXT_DIM).double()
    with torch.no_grad():
        for index, weight in enumerate(block.parameters()):
            weight.copy_(0.3 * draw(*weight.shape, seed=index) + (weight.ndim == 1))
    return block


@pytest.mark.parametrize("group", GROUPS)
def test_parameters_depend_on_earlier_groups_only(block: FlowBlock, group: int) -> None:
    x, text = draw(1, TOKENS, CHANNELS), draw(1, TEXT_LENGTH, TEXT_DIM)
    before = raw(propose(block, x, group, text))
    for token in range(TOKENS):
        changed = x.clone()
        changed[:, token] += 1
        moved = (raw(propose(block, changed, group, text)) - before)[0].abs().amax(-1) > 1e-12
        assert moved.tolist() == [j // group > token // group for j in range(TOKENS)]


@pytest.mark.parametrize("group", GROUPS)
def test_every_parameter_depends_on_all_text(block: FlowBlock, group: int) -> None:
    x, text = draw(1, TOKENS, CHANNELS), draw(1, TEXT_LENGTH, TEXT_DIM)
    before = raw(propose(block, x, group, text))
    for word in range(TEXT_LENGTH):
        changed = text.clone()
        changed[:, word] += 1
        moved = (raw(propose(block, x, group, changed)) - before).abs().amax(-1)
        assert (moved > 1e-12).all()


@pytest.mark.parametrize("with_text", [False, True])
@pytest.mark.parametrize(
    ("group", "cuts"),
    [(1, [0, 8]), (1, [0, 1, 2, 4, 7, 8]), (2, [0, 2, 6, 8]), (4, [0, 4, 8]), (8, [0, 8])],
)
def test_chunks_with_a_cache_are_teacher_forcing(
    block: FlowBlock, with_text: bool, group: int, cuts: list[int]
) -> None:
    x = draw(2, TOKENS, CHANNELS)
    text = draw(2, TEXT_LENGTH, TEXT_DIM) if with_text else None
    table, length = positions(text), TEXT_LENGTH if with_text else 0
    cache, chunks = SequenceCache(block.layers, capacity=TOKENS + length), []
    with torch.no_grad():
        whole = propose(block, x, group, text)
        if text is not None:
            block(x[:, :0], table.slots(0, length), count=0, text=text, cache=cache, begins=False)
            cache.commit(length)
        for start, stop in pairwise(cuts):
            chunks.append(
                block(
                    x[:, max(start - group, 0) : max(stop - group, 0)],
                    table.slots(length + start, length + stop),
                    count=stop - start,
                    group=group,
                    cache=cache,
                    begins=start == 0,
                )
            )
            cache.commit(stop - start)
    assert_close(torch.cat([raw(chunk) for chunk in chunks], dim=1), raw(whole))


def test_a_fresh_block_is_the_identity() -> None:
    block = FlowBlock(CHANNELS, 20, layers=1, head_dim=20).double()
    params = propose(block, draw(1, TOKENS, CHANNELS), 1, None)
    assert_close(params.shift, torch.zeros_like(params.shift))
    assert_close(params.scale, torch.ones_like(params.scale))


def test_in_half_precision_parameters_are_clipped_in_full() -> None:
    """tanh was taken in bfloat16 and its rounding raised with it."""
    block = FlowBlock(CHANNELS, 20, layers=1, head_dim=20)
    raw = torch.linspace(-9, 9, 2 * CHANNELS).bfloat16()
    with torch.no_grad():
        block.output.bias.copy_(raw)
    table = rotary(text_positions(TOKENS, reference=4.0), head_dim=20)
    before = draw(1, TOKENS - 1, CHANNELS).float()
    in_full = block(before, table, count=TOKENS)
    in_half = block.bfloat16()(before, table, count=TOKENS)
    assert_close((in_half.shift, in_half.scale), (in_full.shift, in_full.scale))


def test_parameters_are_bounded(block: FlowBlock) -> None:
    params = propose(block, 1e6 * draw(1, TOKENS, CHANNELS), 1, None)
    assert (params.shift.abs() <= 4).all()
    assert (params.scale > 0.03).all() and (params.scale < 4.6).all()
