import pytest
import torch
from torch.testing import assert_close

from starflow_v.nn.layers import MLP, RMSNorm, soft_clip


def test_rms_norm_starts_as_the_identity_on_the_unit_sphere() -> None:
    x = torch.linspace(-3, 5, 24, dtype=torch.float64).reshape(3, 8)
    norm = RMSNorm(8).double()
    assert_close(norm(x).square().mean(-1), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)
    with torch.no_grad():
        norm.weight.fill_(0.5)
    assert_close(norm(x), 1.5 * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rms_norm_survives_squares_beyond_half_precision(dtype: torch.dtype) -> None:
    x = torch.tensor([[3e4, -3e4, 1e4, 0.0]], dtype=dtype)
    y = RMSNorm(4).to(dtype)(x)
    assert y.dtype == dtype
    assert_close(y.float(), RMSNorm(4)(x.float()), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rms_norm_heeds_weights_that_vanish_beside_one_in_half_precision(
    dtype: torch.dtype,
) -> None:
    """1 + w was formed in the dtype of w, where it is 1 for these weights."""
    x = torch.linspace(-3, 3, 64).repeat(4).to(dtype)
    norm, fresh = RMSNorm(256).to(dtype), RMSNorm(256).to(dtype)
    with torch.no_grad():
        norm.weight.fill_(2**-11 if dtype == torch.float16 else 2**-8)
    assert not torch.equal(norm(x), fresh(x))
    assert torch.equal(norm(x), norm.float()(x.float()).to(dtype))


def test_mlp_is_a_residual() -> None:
    mlp = MLP(6).double()
    x = torch.ones(2, 3, 6, dtype=torch.float64)
    hidden = torch.nn.functional.gelu(mlp.up(mlp.norm(x)))
    assert_close(mlp(x), x + mlp.down(hidden))
    assert mlp.up.out_features == 24


def test_soft_clip_is_the_identity_near_zero_and_bounded_far_away() -> None:
    x = torch.tensor([-1e3, -1e-4, 0.0, 1e-4, 1e3], dtype=torch.float64)
    assert_close(soft_clip(x, 4.0), torch.tensor([-4, -1e-4, 0, 1e-4, 4], dtype=torch.float64))
