"""A compiled block is the block: windows and caches of any length make no other graph."""

import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from starflow_v import SlidingSolver
from tests.conftest import CHANNELS, draw


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
@torch.no_grad()
def test_a_compiled_block_samples_the_same(
    make_flow: Callable[..., nn.Module], text: Tensor
) -> None:
    flow, solver = make_flow(), SlidingSolver(span=8, tolerance=1e-9)
    x = draw(len(text), 3, CHANNELS, 4, 4)
    plain = flow.inverse(x, text, solver=solver)
    flow.deep.block.compile(dynamic=True)
    assert_close(flow.inverse(x, text, solver=solver), plain, atol=1e-6, rtol=0)
