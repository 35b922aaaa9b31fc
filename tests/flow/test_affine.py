import pytest
import torch
from torch import Tensor
from torch.func import jacrev
from torch.testing import assert_close

from starflow_v import AffineParams


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def params() -> AffineParams:
    return AffineParams.from_raw(draw(2, 3, 8))


def test_denormalize_inverts_normalize(params: AffineParams) -> None:
    x = draw(2, 3, 4, seed=1)
    assert_close(params.denormalize(params.normalize(x)), x)
    assert_close(params.normalize(params.denormalize(x)), x)


def test_log_det_is_that_of_each_token(params: AffineParams) -> None:
    x = draw(2, 3, 4, seed=1)
    jacobian = jacrev(params.normalize)(x)
    for b in range(2):
        for k in range(3):
            expected = torch.linalg.slogdet(jacobian[b, k, :, b, k]).logabsdet
            assert_close(params.log_det()[b, k], expected)


def test_a_raw_output_of_zero_is_the_identity() -> None:
    params = AffineParams.from_raw(torch.zeros(2, 3, 8, dtype=torch.float64))
    x = draw(2, 3, 4)
    assert_close(params.normalize(x), x)
    assert_close(params.log_det(), torch.zeros(2, 3, dtype=torch.float64))


def test_the_raw_scale_comes_first() -> None:
    raw = torch.tensor([[[5.0, 0.0]]])
    params = AffineParams.from_raw(raw)
    assert params.shift.item() == 0.0
    assert_close(params.scale, torch.nn.functional.softplus(raw[..., :1] + 0.541324854612918))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype: torch.dtype) -> None:
    raw = draw(2, 3, 8).to(dtype)
    params = AffineParams.from_raw(raw)
    wide = AffineParams.from_raw(raw.float())
    z = params.normalize(draw(2, 3, 4).to(dtype))
    assert {z.dtype, params.log_det().dtype, params.denormalize(z).dtype} == {torch.float32}
    assert torch.equal(params.scale, wide.scale) and torch.equal(params.shift, wide.shift)


def test_double_precision_is_kept() -> None:
    assert AffineParams.from_raw(draw(1, 1, 2)).log_det().dtype == torch.float64
