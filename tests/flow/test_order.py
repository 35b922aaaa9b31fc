import pytest
import torch

from starflow_v.flow.order import Raster, Reversed, TokenOrder, alternating

TOKENS = torch.arange(24.0).reshape(2, 3, 4, 1)  # batch, frames, tokens of a frame, channels


@pytest.mark.parametrize("order", [Raster(), Reversed()])
def test_raster_inverts_slots(order: TokenOrder) -> None:
    assert torch.equal(order.to_raster(order.to_slots(TOKENS)), TOKENS)


def test_reversed_turns_each_frame_round_but_no_frames() -> None:
    slots = Reversed().to_slots(TOKENS)
    assert slots[0, :, :, 0].tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]
    assert torch.equal(Raster().to_slots(TOKENS), TOKENS)


def test_the_block_at_the_data_is_reversed_and_then_they_alternate() -> None:
    assert [alternating(i) for i in range(4)] == [Reversed(), Raster(), Reversed(), Raster()]
