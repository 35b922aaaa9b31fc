import pytest
import torch

from starflow_v.flow.order import CoarseToFine, Dilated, Raster, Reversed, TokenOrder, order_of
from starflow_v.flow.patches import Grid

GRID = Grid(2, 2)
TOKENS = torch.arange(24.0).reshape(2, 3, 4, 1)  # batch, frames, tokens of a frame, channels
ORDERS = [
    Raster(),
    Reversed(),
    CoarseToFine(),
    CoarseToFine(turned=True),
    Dilated(),
    Dilated(turned=True),
]


@pytest.mark.parametrize("order", ORDERS)
def test_raster_inverts_slots(order: TokenOrder) -> None:
    assert torch.equal(order.to_raster(order.to_slots(TOKENS, GRID), GRID), TOKENS)


@pytest.mark.parametrize("order", ORDERS[2:])
@pytest.mark.parametrize("grid", [Grid(1, 1), Grid(3, 5), Grid(8, 2), Grid(7, 7)])
def test_places_are_a_permutation_of_any_grid(order: TokenOrder, grid: Grid) -> None:
    tokens = torch.arange(grid.tokens)[:, None]
    slots = order.to_slots(tokens, grid)
    places = order.places(grid)
    assert places is not None
    assert torch.equal(slots[:, 0], places)
    assert torch.equal(order.to_raster(slots, grid), tokens)


def test_reversed_turns_each_frame_round_but_no_frames() -> None:
    slots = Reversed().to_slots(TOKENS, GRID)
    assert slots[0, :, :, 0].tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]
    assert torch.equal(Raster().to_slots(TOKENS, GRID), TOKENS)


def test_coarse_to_fine_halves_the_spacing_again_and_again() -> None:
    slots = CoarseToFine().places(Grid(4, 4)).argsort().reshape(4, 4)
    assert slots.tolist() == [[0, 12, 3, 13], [8, 4, 9, 5], [2, 14, 1, 15], [10, 6, 11, 7]]
    turned = CoarseToFine(turned=True).places(Grid(4, 4)).argsort().reshape(4, 4)
    assert torch.equal(turned, slots.rot90(2))


def test_no_neighbours_share_a_group_of_a_dilated_order() -> None:
    groups = Dilated().places(Grid(6, 4)).argsort().reshape(6, 4) // 6
    assert groups.unique().tolist() == [0, 1, 2, 3]
    assert (groups.diff(dim=0) != 0).all()
    assert (groups.diff(dim=1) != 0).all()
    assert (groups[1:, 1:] != groups[:-1, :-1]).all()
    assert (groups[1:, :-1] != groups[:-1, 1:]).all()
    turned = Dilated(turned=True).places(Grid(6, 4)).argsort().reshape(6, 4)
    assert torch.equal(turned, Dilated().places(Grid(6, 4)).argsort().reshape(6, 4).rot90(2))


def test_the_block_at_the_data_is_reversed_and_then_they_alternate() -> None:
    raster = [order_of("raster", i) for i in range(4)]
    assert raster == [Reversed(), Raster(), Reversed(), Raster()]
    fine = [order_of("coarse_to_fine", i) for i in range(3)]
    assert fine == [CoarseToFine(turned=True), CoarseToFine(), CoarseToFine(turned=True)]
    assert [order_of("dilated", i) for i in range(2)] == [Dilated(turned=True), Dilated()]


def test_an_unknown_order_is_named() -> None:
    with pytest.raises(ValueError, match="'spiral' is not known: choose from raster"):
        order_of("spiral", 0)
