"""A compiled block is the block: windows and caches of any length make no other graph."""

import shutil

import pytest
import torch
from torch.testing import assert_close

from starflow_v import SlidingSolver, StarFlowModel

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")


@pytest.mark.slow
@needs_compiler
@torch.no_grad()
def test_a_compiled_block_samples_the_same() -> None:
    torch.manual_seed(0)
    flow = StarFlowModel(
        in_channels=4,
        patch_size=1,
        shallow_width=32,
        shallow_layers=(1,),
        deep_width=32,
        deep_layers=1,
        head_dim=16,
        text_dim=8,
        reference_size=4,
    )
    for weight in flow.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    text, z = torch.randn(1, 3, 8), torch.randn(1, 3, 4, 4, 4)
    solver = SlidingSolver(span=8, tolerance=1e-5)
    plain = flow.inverse(z, text, solver=solver)
    flow.deep.block.compile(dynamic=True)
    assert_close(flow.inverse(z, text, solver=solver), plain, atol=1e-4, rtol=0)
