"""A tiny causal velocity network whose every weight is random."""

import pytest
import torch

from starflow_v.baselines.causal_velocity import CausalVelocityModel
from tests.conftest import CHANNELS, TEXT_DIM, Make, shake


@pytest.fixture(scope="session")
def make_velocity() -> Make:
    def make(*, seed: int = 0, dtype: torch.dtype = torch.float64, **changes: object):
        arguments = {
            "in_channels": CHANNELS,
            "width": 40,
            "layers": 2,
            "head_dim": 20,
            "text_dim": TEXT_DIM,
            "reference_size": 4.0,
        }
        return shake(CausalVelocityModel(**(arguments | changes)), seed, dtype)

    return make
