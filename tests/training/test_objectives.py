"""The objectives as numbers: each is what its equation says."""

import math

import torch
from torch.testing import assert_close

from starflow_v import StarFlowModel
from starflow_v.training.objectives import (
    bits_per_dimension,
    latent_norm,
    negative_log_likelihood,
    noise_weight,
    score_target,
)

SHAPE = {
    "in_channels": 3,
    "shallow_width": 16,
    "deep_width": 16,
    "shallow_layers": [1, 1],
    "deep_layers": 1,
    "head_dim": 16,
    "text_dim": None,
}


def test_the_likelihood_of_the_identity_is_the_normal_density():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 3, 2, 2)
    output = StarFlowModel(**SHAPE)(x)
    density = torch.distributions.Normal(0, 1).log_prob(x).flatten(1).mean(1)
    nll = negative_log_likelihood(output.z, output.log_det)
    assert_close(bits_per_dimension(nll), -density / math.log(2))


def test_the_score_of_a_gaussian():
    """NLL = |x|²/2 has the gradient x; the noise level scales it, and weights the likelihood."""
    x, sigma = torch.ones(2, 1, 1, 1, 1), torch.tensor([0.3, 0.6])
    assert_close(score_target(x, sigma).flatten(), torch.tensor([0.3, 1.2]))
    assert_close(noise_weight(sigma), torch.tensor([1.0, 2.0]))


def test_the_latent_norm_is_of_all_outputs_but_the_last():
    torch.manual_seed(0)
    flow = StarFlowModel(**SHAPE)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, 3, 3, 2, 2)
    output = flow(x, return_between=True)
    assert flow(x).between is None
    first, second = output.between
    assert_close(latent_norm(output.between), (first**2).mean() + (second**2).mean())
    u, _ = flow.shallow(flow.to_tokens(x), flow.grid(x))
    assert_close(second, u)
    assert not torch.equal(first, second)
    assert latent_norm([]) == 0
