"""Weights of an edit's tokens: where they are, and what they leave as it is."""

import torch
from torch.testing import assert_close

from starflow_v.training.focus import focus_weights
from starflow_v.training.objectives import negative_log_likelihood

GRID = {"rows": 2, "columns": 3}


def source(seed: int = 0) -> torch.Tensor:
    """(2, 3, 4, 4, 6): tokens are squares of 2."""
    return torch.randn(
        2, 3, 4, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def test_their_mean_is_1_in_each_sample():
    for strength in (0.0, 1.0, 30.0):
        weights = focus_weights(source(), **GRID, strength=strength)
        assert_close(weights.mean((1, 2, 3)), torch.ones(2, dtype=torch.float64))
        assert weights.min() >= 1 / (1 + strength)


def test_the_thing_on_an_even_ground_counts():
    latents = torch.full((1, 1, 4, 4, 6), 0.7, dtype=torch.float64)
    latents[..., 2:, :2] = -1.0
    weights = focus_weights(latents, **GRID, strength=3.0)
    assert_close(weights[0, 0, 1, 0], torch.tensor((1 + 3.0 * 6) / 4, dtype=torch.float64))
    weights[0, 0, 1, 0] = 0.25
    assert_close(weights, torch.full_like(weights, 0.25))


def test_an_even_source_leaves_all_places_alike():
    weights = focus_weights(torch.zeros(1, 2, 4, 4, 6), **GRID, strength=3.0)
    assert_close(weights, torch.ones_like(weights))


def test_even_weights_give_the_likelihood():
    z, log_det = source(), torch.randn(2, 3, 2, 3, dtype=torch.float64)
    even = negative_log_likelihood(z, log_det, torch.ones_like(log_det))
    assert_close(even, negative_log_likelihood(z, log_det))


def test_no_weight_of_the_source_moves_the_optimum():
    """The mean of each place is learned as it is, however little the place counts for."""
    samples = 0.3 + source()
    mean = torch.zeros(1, 1, 1, 4, 6, dtype=torch.float64, requires_grad=True)
    weights = focus_weights(source(seed=1), **GRID, strength=5.0).mean(1, keepdim=True)
    weights = weights[:1].expand(2, 3, 2, 3)
    optimizer = torch.optim.LBFGS([mean], max_iter=50, tolerance_grad=1e-12, tolerance_change=0.0)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        nll = negative_log_likelihood(samples - mean, torch.zeros_like(weights), weights).mean()
        nll.backward()
        return nll

    optimizer.step(loss)
    assert_close(mean.detach(), samples.mean((0, 1, 2), keepdim=True))
