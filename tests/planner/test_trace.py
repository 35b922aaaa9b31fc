import pytest
import torch
import torch.nn.functional as F
from torch import nn

from starflow_v.planner.trace import Work, tracing

META = torch.device("meta")


def test_a_linear_layer_reads_its_weights_once() -> None:
    layer, x = nn.Linear(8, 16, device=META), torch.empty(4, 8, device=META)
    with torch.no_grad(), tracing() as trace:
        layer(x)
    assert trace.work.flops == 2 * 4 * 8 * 16
    assert trace.work.moved == 4 * (8 * 16 + 16 + 4 * 8 + 4 * 16)
    assert trace.work.kernels == 1


def test_memory_is_that_of_storages_that_live_at_the_same_time() -> None:
    with tracing() as trace:
        a = torch.empty(100, device=META)
        b = a + 1
        del a
        c = b * 2
        view = c[:50].view(5, 10)
        del b, c
        assert (trace.live, trace.peak) == (400, 800)
        del view
        assert trace.live == 0


def test_weights_from_before_do_not_count() -> None:
    weight = torch.empty(10, 10, device=META)
    with tracing() as trace:
        weight.t().add_(1)
    assert trace.peak == 0 and trace.work.kernels == 1


def test_attention_does_not_write_its_matrix_out() -> None:
    q = torch.empty(1, 2, 64, 16, device=META)
    with torch.no_grad(), tracing() as trace:
        F.scaled_dot_product_attention(q, q, q)
    assert trace.work.flops == 4 * 2 * 64 * 64 * 16
    assert trace.peak == q.numel() * 4


def test_what_is_paused_is_not_there() -> None:
    with tracing() as trace:
        with trace.paused():
            a = torch.empty(10, device=META) + 1
        assert (trace.work, trace.peak) == (Work(), 0)
        del a
    assert trace.live == 0


@pytest.mark.parametrize("training", [False, True])
def test_numbers_are_not_touched(training: bool) -> None:
    """On real tensors too: the trace watches."""
    layer, x = nn.Linear(3, 3), torch.randn(2, 3)
    with torch.set_grad_enabled(training):
        expected = layer(x)
        with tracing():
            assert torch.equal(layer(x), expected)
