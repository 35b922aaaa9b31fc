import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v.nn.rope import Rotary, rotary, text_positions, video_positions


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def turned(table: Rotary, pairs: int) -> Tensor:
    """The angles (S, pairs), in (-pi, pi], by which a table turns the first axis of each pair."""
    ones = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(pairs)
    x, y = table.rotate(ones.expand(1, 1, len(table.turn), -1)).unflatten(-1, (-1, 2)).unbind(-1)
    return torch.atan2(y, x)[0, 0]


def test_angles_are_row_then_column_then_time() -> None:
    """A head of 28: 3 pairs for the row, 3 for the column, 8 for time."""
    row, column, time = 2.0, 3.0, 1.0
    table = rotary(torch.tensor([[row, column, time]]), head_dim=28)
    space = [10_000 ** (-k / 3) for k in range(3)]
    angles = [row * f for f in space] + [column * f for f in space]
    angles += [time * 10_000 ** (-k / 8) for k in range(8)]
    assert_close(turned(table, 14), torch.tensor([angles]).double())


def test_rows_and_columns_are_measured_in_sides_of_the_square() -> None:
    positions = video_positions(2, 2, 8, reference=32.0).reshape(2, 2, 8, 3)
    assert_close(positions[1, :, 0, 0], torch.tensor([0.0, 1 / 4]) * 32)
    assert_close(positions[1, 0, :, 1], torch.arange(8) / 4 * 32)
    assert_close(positions[:, 1, 3, 2], torch.tensor([0.0, 1.0]))


def test_text_lies_on_the_axis_of_time() -> None:
    positions = text_positions(4, reference=32.0)
    assert_close(positions, torch.tensor([[0.0, 0, 8 * i] for i in range(4)]))
    assert text_positions(0, reference=32.0).shape == (0, 3)


def test_a_rotation_turns_interleaved_pairs_and_keeps_lengths() -> None:
    quarter = Rotary(torch.tensor([[1j, 1]]))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    assert quarter.rotate(x).flatten().tolist() == [-2.0, 1.0, 3.0, 4.0]
    table = rotary(video_positions(2, 2, 3, reference=4.0), head_dim=20)
    x = draw(1, 1, 12, 20)
    assert_close(table.rotate(x).norm(dim=-1), x.norm(dim=-1))


def test_products_depend_on_differences_of_positions_only() -> None:
    positions = video_positions(2, 2, 3, reference=4.0)
    q, k = draw(1, 1, 12, 20), draw(1, 1, 12, 20).flip(-1)

    def products(shift: Tensor) -> Tensor:
        table = rotary(positions + shift, head_dim=20)
        return table.rotate(q) @ table.rotate(k).transpose(-1, -2)

    shifted = products(torch.tensor([1.0, -2.0, 3.0]))
    assert_close(products(torch.zeros(3)), shifted, atol=1e-5, rtol=1e-5)


def test_slots_cut_the_table() -> None:
    table = rotary(text_positions(6, reference=4.0), head_dim=20)
    assert_close(turned(table.slots(2, 5), 10), turned(table, 10)[2:5])


def test_a_head_of_16_turns_with_time_alone() -> None:
    """The narrowest head: all its 8 pairs are those of time."""
    table = rotary(torch.tensor([[2.0, 3.0, 1.0]]), head_dim=16)
    angles = [10_000 ** (-k / 8) for k in range(8)]
    assert_close(turned(table, 8), torch.tensor([angles]).double())


@pytest.mark.parametrize("head_dim", [12, 18, 22, 30])
def test_a_head_that_does_not_hold_three_axes_is_refused(head_dim: int) -> None:
    with pytest.raises(ValueError, match=f"head_dim={head_dim} .* multiple of 4, and at least 16"):
        rotary(torch.zeros(1, 3), head_dim)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_turned_in_full(dtype: torch.dtype) -> None:
    table = rotary(torch.tensor([[0.0, 0.0, 300.25]]), head_dim=20)
    x = draw(1, 1, 1, 20).to(dtype)
    turned_in_full = table.rotate(x.float())
    assert table.rotate(x).dtype == dtype
    assert torch.equal(table.rotate(x), turned_in_full.to(dtype))
