"""Bits per dimension: the entropy of a density that is known, and a bound where there is one."""

import math

import pytest
import torch
from torch import Generator, nn

from starflow_v import StarFlowModel
from starflow_v.evaluation.pixel_bits import PixelBits, dequantize, pixel_bits


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def normal_pictures(levels: int, std: float, count: int) -> torch.Tensor:
    """Pictures of 4x4 whose levels are a normal density cut into bins, around the middle."""
    values = levels / 2 + std * torch.randn(count, 4, 4, generator=seeded())
    return values.floor().clamp(0, levels - 1)


@pytest.mark.parametrize(("levels", "std"), [(256, 20.0), (1024, 50.0)])
def test_a_gaussian_has_its_entropy(levels: int, std: float) -> None:
    """The entropy of a normal density is log2(std sqrt(2 pi e)) bits, std in levels."""
    pictures = normal_pictures(levels, std, 8000)
    density = torch.distributions.Normal(0.0, 2 * std / levels)

    def log_density(y: torch.Tensor) -> torch.Tensor:
        return density.log_prob(y).flatten(1).sum(1)

    told = pixel_bits(log_density, pictures, levels=levels, draws=4, generator=seeded(1))
    entropy = math.log2(std * math.sqrt(2 * math.pi * math.e))
    assert float(told.bound.mean()) == pytest.approx(entropy, abs=5e-3)
    assert float(told.tight.mean()) == pytest.approx(entropy, abs=5e-3)


def test_a_flow_that_is_a_gaussian_has_its_entropy() -> None:
    """The same number through `StarFlowModel.log_prob`: a flow that scales and no more."""
    levels, std = 256, 20.0
    flow = StarFlowModel(
        in_channels=1,
        patch_size=2,
        shallow_width=24,
        deep_width=24,
        shallow_layers=(1,),
        deep_layers=1,
        head_dim=24,
        text_dim=None,
    )
    raw = math.log(math.expm1(2 * std / levels)) - 0.541324854612918
    with torch.no_grad():  # soft clip: 4 tanh(a / 4) is the raw scale
        nn.init.zeros_(flow.deep.block.output.weight)
        flow.deep.block.output.bias[:4] = 4 * math.atanh(raw / 4)

    def log_density(y: torch.Tensor) -> torch.Tensor:
        return flow.log_prob(y[:, None, None])

    pictures = normal_pictures(levels, std, 8000)
    told = pixel_bits(log_density, pictures, levels=levels, draws=2, generator=seeded(1))
    entropy = math.log2(std * math.sqrt(2 * math.pi * math.e))
    assert float(told.bound.mean()) == pytest.approx(entropy, abs=5e-3)


def test_a_uniform_density_costs_log_of_the_levels() -> None:
    pictures = torch.randint(0, 17, (10, 8, 8), generator=seeded())
    told = pixel_bits(
        lambda y: torch.full((10,), -64 * math.log(2.0)),
        pictures,
        levels=17,
        draws=1,
        generator=seeded(),
    )
    torch.testing.assert_close(told.bound, torch.full((10,), math.log2(17), dtype=torch.float64))


def test_more_draws_tighten_the_bound_towards_the_truth() -> None:
    """One pixel under a density that is narrower than its bin, so that P(x) is known: nearly 1."""
    density = torch.distributions.Normal(0.0, 0.03)
    pictures = torch.full((200, 1, 1), 8.0)  # the bin (-1/17, 1/17)
    edge = torch.tensor(1 / 17)
    truth = -float((density.cdf(edge) - density.cdf(-edge)).log2())

    def measured(draws: int) -> PixelBits:
        return pixel_bits(
            lambda y: density.log_prob(y)[:, 0, 0],
            pictures,
            levels=17,
            draws=draws,
            generator=seeded(),
        )

    one, many = measured(1), measured(500)
    assert float(many.bound.mean()) > truth + 0.2
    assert float(many.tight.mean()) == pytest.approx(truth, abs=5e-3)
    torch.testing.assert_close(one.bound, one.tight)


def test_noise_fills_the_bins_and_nothing_else() -> None:
    levels = torch.arange(17).repeat(1000)
    y = dequantize(levels, 17, seeded())
    assert float(y.min()) >= -1 and float(y.max()) < 1
    assert torch.equal(((y + 1) / 2 * 17).floor().long(), levels)


def test_levels_that_do_not_exist_are_refused() -> None:
    for wrong in (torch.tensor([[17.0]]), torch.tensor([[0.5]]), torch.tensor([[-1.0]])):
        with pytest.raises(ValueError, match="whole numbers from 0 to 16"):
            pixel_bits(lambda y: y[:, 0], wrong, levels=17, draws=1, generator=seeded())
