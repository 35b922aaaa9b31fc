import pytest
import torch

from starflow_v.flow.patches import Grid, patch_grid, patchify, unpatchify


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_unpatchify_inverts_patchify(patch: int) -> None:
    x = torch.randn(2, 3, 5, 2 * patch, 3 * patch, generator=torch.Generator().manual_seed(0))
    grid = patch_grid(x, channels=5, patch=patch)
    tokens = patchify(x, patch)
    assert grid == (2, 3)
    assert tokens.shape == (2, 3, grid.tokens, 5 * patch**2)
    assert torch.equal(unpatchify(tokens, grid, patch), x)


def test_a_patch_is_row_column_channel_and_patches_are_in_raster_order() -> None:
    c, h, w = torch.meshgrid(torch.arange(2), torch.arange(4), torch.arange(6), indexing="ij")
    tokens = patchify((100 * c + 10 * h + w)[None, None], patch=2)[0, 0]
    assert tokens[0].tolist() == [0, 100, 1, 101, 10, 110, 11, 111]
    assert tokens[:, 0].tolist() == [0, 2, 4, 20, 22, 24]


def test_groups_share_the_tokens_of_a_frame() -> None:
    grid = Grid(3, 4)
    assert [grid.group(groups) for groups in (None, 1, 2, 4, 12)] == [1, 12, 6, 3, 1]
    with pytest.raises(ValueError, match="5 groups per frame do not divide the 3x4 = 12 tokens"):
        grid.group(5)
