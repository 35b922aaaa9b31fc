"""Networks and optimizers as named tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from starflow_v.training.engine.muon import Muon
from starflow_v.training.engine.state import (
    module_state,
    optimizer_state,
    restore_module,
    restore_optimizer,
)


class Tied(nn.Module):
    """Two names for one weight, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3, bias=False)
        self.other = nn.Linear(3, 3, bias=False)
        self.other.weight = self.one.weight
        self.register_buffer("count", torch.zeros(()))


def test_tied_weights_are_stored_once_and_stay_tied() -> None:
    source, target = Tied(), Tied()
    state = module_state(source)
    assert sorted(state) == ["count", "one.weight"]
    restore_module(target, state)
    assert torch.equal(target.other.weight, source.one.weight)
    assert target.other.weight is target.one.weight


def test_another_models_names_are_refused() -> None:
    with pytest.raises(ValueError, match="lacks 'bias'"):
        restore_module(nn.Linear(2, 2), {"weight": torch.zeros(2, 2)})
    with pytest.raises(ValueError, match="has, unlike the model, 'bias'"):
        restore_module(nn.Linear(2, 2, bias=False), module_state(nn.Linear(2, 2)))


def test_optimizer_goes_on_by_name_whatever_the_order() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizers = [
        torch.optim.AdamW(one.parameters(), lr=0.1),
        torch.optim.AdamW([other.bias, other.weight], lr=0.1),
    ]
    inputs = torch.randn(4, 3)

    def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        module(inputs).square().sum().backward()
        optimizer.step()

    step(one, optimizers[0])
    restore_module(other, module_state(one))
    restore_optimizer(optimizers[1], other, optimizer_state(optimizers[0], one))
    for module, optimizer in zip((one, other), optimizers, strict=True):
        step(module, optimizer)
    torch.testing.assert_close(one.weight, other.weight)
    torch.testing.assert_close(one.bias, other.bias)


@pytest.mark.parametrize("before", ["AdamW", "Muon"])
def test_another_optimizers_memory_is_refused(before: str) -> None:
    """It once was a KeyError, at the first step."""
    module = nn.Linear(3, 2)
    optimizers = {
        "AdamW": torch.optim.AdamW(module.parameters()),
        "Muon": Muon(module.parameters()),
    }
    module(torch.randn(4, 3)).square().sum().backward()
    optimizers[before].step()
    saved = optimizer_state(optimizers.pop(before), module)
    (other,) = optimizers.values()
    with pytest.raises(ValueError, match=r"another optimizer: of 'weight' .* keep muon_lr"):
        restore_optimizer(other, module, saved)
    assert not other.state
