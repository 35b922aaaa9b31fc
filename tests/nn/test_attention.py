import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v.nn.attention import (
    CAUSAL,
    FULL,
    Mask,
    SelfAttention,
    attend,
    causal,
    group_causal,
)
from starflow_v.nn.cache import SequenceCache
from starflow_v.nn.rope import rotary, text_positions


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """Softmax attention as it is written in a textbook, query by query."""
    out = torch.zeros_like(q)
    for i, row in enumerate(allowed):
        weights = (q[:, :, i : i + 1] * k[:, :, row] / q.shape[-1] ** 0.5).sum(-1).softmax(-1)
        out[:, :, i] = (weights[..., None] * v[:, :, row]).sum(-2)
    return out


MASKS = {
    "full": (FULL, torch.ones(6, 6, dtype=torch.bool)),
    "causal": (CAUSAL, torch.ones(6, 6, dtype=torch.bool).tril()),
    "groups of 2": (
        group_causal(torch.arange(6) // 2, torch.arange(6) // 2),
        torch.tensor([[j // 2 <= i // 2 for j in range(6)] for i in range(6)]),
    ),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("training", [False, True])
def test_attention_is_the_textbook_one(name: str, training: bool) -> None:
    """Training on a CPU takes another way through the same formula."""
    mask, allowed = MASKS[name]
    q, k, v = (draw(2, 3, 6, 4, seed=seed) for seed in range(3))
    out = attend(q.requires_grad_(training), k, v, mask)
    assert_close(out, reference(q, k, v, allowed))


@pytest.mark.parametrize("name", MASKS)
def test_the_two_ways_have_the_same_gradients(name: str) -> None:
    mask, allowed = MASKS[name]
    q, k, v = (draw(2, 3, 6, 4, seed=seed).requires_grad_() for seed in range(3))
    got = torch.autograd.grad(attend(q, k, v, mask).square().sum(), (q, k, v))
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    assert_close(got, torch.autograd.grad(dense.square().sum(), (q, k, v)))


CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
@pytest.mark.parametrize(("past", "count"), [(0, 1), (0, 4), (5, 1), (5, 2), (3, 3), (1, 5)])
def test_queries_after_a_past_attend_to_it_and_to_those_up_to_themselves(
    past: int, count: int, device: torch.device, training: bool
) -> None:
    """The mask that is chosen for a device, tried on this one."""
    mask = causal(past, count, device)
    keys = past + count
    q = draw(2, 3, count, 4).requires_grad_(training)
    k, v = draw(2, 3, keys, 4, seed=1), draw(2, 3, keys, 4, seed=2)
    allowed = torch.tensor([[j <= past + i for j in range(keys)] for i in range(count)])
    assert_close(attend(q, k, v, mask), reference(q, k, v, allowed))


def test_after_a_past_too_cuda_needs_no_mask() -> None:
    assert causal(5, 3, CUDA) == CAUSAL
    assert causal(5, 1, CUDA) == causal(5, 1, CPU) == FULL
    assert causal(0, 3, CPU) == CAUSAL
    assert causal(5, 3, CPU).bias is not None


def test_cached_chunks_are_the_whole() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(40, head_dim=20).double()
    table = rotary(text_positions(6, reference=4.0), head_dim=20)
    x, cache, chunks = draw(2, 6, 40), SequenceCache(layers=1, capacity=6), []
    with torch.no_grad():
        whole = attention(x, table, CAUSAL)
        for start, stop in ((0, 2), (2, 3), (3, 6)):
            mask = group_causal(torch.arange(start, stop), torch.arange(stop))
            positions = table.slots(start, stop)
            chunks.append(attention(x[:, start:stop], positions, mask, cache.layer(0)))
            cache.commit(stop - start)
    assert_close(torch.cat(chunks, dim=1), whole)


def test_a_mask_of_nobody_is_not_made_for_the_causal_kernel() -> None:
    assert Mask() == FULL
    assert CAUSAL.bias is None
