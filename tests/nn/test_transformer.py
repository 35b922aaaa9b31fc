import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v.nn.attention import CAUSAL, FULL, group_causal
from starflow_v.nn.cache import SequenceCache
from starflow_v.nn.rope import rotary, text_positions
from starflow_v.nn.transformer import Transformer, set_recompute

TABLE = rotary(text_positions(5, reference=4.0), head_dim=20)


@pytest.fixture
def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(20, layers=3, head_dim=20).double()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 5, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_recomputing_changes_no_gradient(transformer: Transformer, x: Tensor) -> None:
    x.requires_grad_()

    def gradients() -> tuple[Tensor, ...]:
        loss = transformer(x, TABLE, CAUSAL).square().sum()
        return torch.autograd.grad(loss, (x, *transformer.parameters()))

    kept = gradients()
    set_recompute(transformer, True)
    calls = []
    transformer.layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
    assert_close(gradients(), kept)
    assert len(calls) == 2, "once forwards, once again backwards"


def test_recomputing_leaves_a_cache_alone(transformer: Transformer, x: Tensor) -> None:
    """It would read no key of the past: a checkpointed layer gets no cache."""
    set_recompute(transformer, True)
    cache = SequenceCache(layers=3, capacity=5)
    whole = transformer(x, TABLE, CAUSAL)
    transformer(x[:, :3], TABLE.slots(0, 3), CAUSAL, cache)
    cache.commit(3)
    mask = group_causal(torch.arange(3, 5), torch.arange(5))
    rest = transformer(x[:, 3:], TABLE.slots(3, 5), mask, cache)
    assert_close(rest, whole[:, 3:])


def test_layers_may_have_masks_of_their_own(transformer: Transformer, x: Tensor) -> None:
    out = transformer(x, TABLE, [CAUSAL, FULL, CAUSAL])
    hidden = x
    for layer, mask in zip(transformer.layers, (CAUSAL, FULL, CAUSAL), strict=True):
        hidden = layer(hidden, TABLE, mask)
    assert_close(out, hidden)
    assert not torch.allclose(out, transformer(x, TABLE, CAUSAL))
