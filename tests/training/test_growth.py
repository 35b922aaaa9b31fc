"""Growth: a larger network computes what the smaller one did, and all that is new learns."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from starflow_v import CausalDenoiser, StarFlowModel
from starflow_v.training.growth import grow_denoiser, grow_flow

FLOW = {
    "in_channels": 3,
    "shallow_width": 32,
    "deep_width": 32,
    "shallow_layers": [1, 2],
    "deep_layers": 2,
    "head_dim": 16,
    "text_dim": 5,
}
DENOISER = {"in_channels": 3, "width": 32, "layers": 2, "head_dim": 16, "text_dim": 5, "window": 2}


def flow(**changes) -> StarFlowModel:
    return StarFlowModel(**FLOW | changes).double()


def denoiser(**changes) -> CausalDenoiser:
    return CausalDenoiser(**DENOISER | {"lookahead_layers": 1} | changes).double()


def trained(module: nn.Module) -> nn.Module:
    """All parameters away from their beginnings, norms and zeros included."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x, text = torch.randn(2, 3, 3, 2, 2), torch.randn(2, 4, 5)
    return x.double(), text.double()


FLOW_GROWTH = [
    {},
    {"shallow_layers": [1, 2, 2, 1]},
    {"shallow_layers": [3, 2]},
    {"deep_layers": 4},
    {"deep_width": 48},
    {"shallow_width": 48},
    {"shallow_width": 80, "deep_width": 64, "shallow_layers": [1, 3, 1, 1], "deep_layers": 3},
]
DENOISER_GROWTH = [{}, {"layers": 3}, {"width": 48}, {"width": 64, "layers": 4}]


@pytest.mark.parametrize("larger", FLOW_GROWTH)
def test_a_grown_flow_is_the_same_map(inputs, larger):
    small, large = trained(flow()), flow(**larger)
    grow_flow(small, large)
    for before, after in zip(
        small(*inputs, return_dict=False), large(*inputs, return_dict=False), strict=True
    ):
        assert_close(after, before, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("larger", DENOISER_GROWTH)
def test_a_grown_denoiser_is_the_same_network(inputs, larger):
    small, large = trained(denoiser()), denoiser(**larger)
    grow_denoiser(small, large)
    assert_close(large(*inputs), small(*inputs), atol=1e-11, rtol=1e-11)


def test_the_same_shape_is_copied_bit_for_bit():
    small, large = trained(flow()), flow()
    grow_flow(small, large)
    for name, value in large.state_dict().items():
        assert torch.equal(value, small.state_dict()[name]), name


@pytest.mark.parametrize("larger", FLOW_GROWTH[1:])
def test_all_of_a_grown_flow_learns(inputs, larger):
    """What is new writes nothing at first: its readers learn one step after its writers."""
    large = flow(**larger)
    grow_flow(trained(flow()), large)
    learns(large, lambda: -large.log_prob(*inputs).sum())


@pytest.mark.parametrize("larger", DENOISER_GROWTH[1:])
def test_all_of_a_grown_denoiser_learns(inputs, larger):
    large = denoiser(**larger)
    grow_denoiser(trained(denoiser()), large)
    learns(large, lambda: (large(*inputs) - inputs[0]).square().sum())


def learns(module: nn.Module, loss) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
    for _ in range(4):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        rows = parameter.grad.flatten(1) if parameter.ndim > 1 else parameter.grad[None]
        assert (rows.abs().amax(1) > 0).all(), name


def test_new_features_do_not_stay_copies_of_each_other(inputs):
    large = flow(deep_width=64)
    grow_flow(trained(flow()), large)
    learns(large, lambda: -large.log_prob(*inputs).sum())
    new = large.deep.block.input.weight[32:]
    assert (new - new[0]).abs().amax(1)[1:].gt(1e-9).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"deep_width": 16}, "deep_width"),
        ({"deep_layers": 1}, "deep_layers"),
        ({"shallow_layers": [1, 2, 1]}, "shallow_layers"),
        ({"shallow_layers": [1, 1]}, "shallow_layers"),
        ({"head_dim": 32}, "head_dim"),
        ({"text_dim": 6}, "text_dim"),
    ],
)
def test_what_is_no_growth_is_refused(change, named):
    with pytest.raises(ValueError, match=rf"{named} would have to") as caught:
        grow_flow(flow(), flow(**change))
    assert f"{named}={FLOW[named]}" in str(caught.value)
    assert f"{named}={change[named]}" in str(caught.value)
    with pytest.raises(ValueError, match=r"width=32, layers=2.*width=32, layers=1"):
        grow_denoiser(denoiser(), denoiser(layers=1))
