"""Inpainting by the density: known numbers stay, hidden ones follow the conditional density."""

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from starflow_v.sampling.inpainting import inpaint

CORRELATION = 0.8
COVARIANCE = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]])
NORMAL = torch.distributions.MultivariateNormal(torch.zeros(2), COVARIANCE)
HIDDEN = torch.tensor([True, False])


def log_density(x: Tensor) -> Tensor:
    return NORMAL.log_prob(x)


def test_the_hidden_numbers_follow_their_conditional_density() -> None:
    """Of two correlated normal numbers, given the second: mean r·b, variance 1 - r²."""
    known = 1.5
    start = torch.tensor([[-3.0, known]]).expand(4000, 2)
    generator = Generator().manual_seed(0)
    chain = inpaint(log_density, start, HIDDEN, steps=60, step_size=0.3, generator=generator)
    assert_close(chain.x[:, 1], start[:, 1])
    assert float(chain.x[:, 0].mean()) == pytest.approx(CORRELATION * known, abs=0.04)
    assert float(chain.x[:, 0].var()) == pytest.approx(1 - CORRELATION**2, abs=0.04)
    assert_close(chain.log_prob, log_density(chain.x))


def test_a_large_step_is_refused_rather_than_wrong() -> None:
    """Without the acceptance this step would blow up; with it, it is adapted."""
    start = torch.tensor([[0.0, 0.0]]).expand(2000, 2)
    generator = Generator().manual_seed(0)
    chain = inpaint(log_density, start, HIDDEN, steps=120, step_size=20.0, generator=generator)
    assert float(chain.x[:, 0].var()) == pytest.approx(1 - CORRELATION**2, abs=0.06)
    assert 0.3 < float(chain.accepted.mean()) < 0.9


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        inpaint(log_density, torch.zeros(1, 2), HIDDEN, steps=1)
