"""The moving average of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from starflow_v.training.engine.ema import ExponentialAverage


def test_follows_the_equation() -> None:
    module = nn.Linear(2, 1)
    average = ExponentialAverage(module, decay=0.9)
    expected = module.weight.detach().clone()
    for step in (0, 1, 1000):
        with torch.no_grad():
            module.weight.add_(1.0)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
        average.update(module, step)
    torch.testing.assert_close(average.average["weight"], expected)


def test_applied_and_taken_back() -> None:
    module = nn.Linear(2, 1)
    average = ExponentialAverage(module, decay=0.5)
    before = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1.0)
    after = module.weight.detach().clone()
    with average.applied_to(module):
        assert torch.equal(module.weight, before)
    assert torch.equal(module.weight, after)


def test_another_models_average_is_refused() -> None:
    with pytest.raises(ValueError, match=r"another model.*bias"):
        ExponentialAverage(nn.Linear(2, 1), decay=0.5).restore({"weight": torch.zeros(1, 2)})
