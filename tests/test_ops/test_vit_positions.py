import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.vit_positions import resize_positions


def test_grid_that_the_factor_misses():
    """61 / 28 * 28 is below 61 in floating point: the size is given instead."""
    patches = torch.randn(1, 28 * 28, 3)
    resized = resize_positions(patches, (61, 5))
    maps = patches.mT.reshape(1, 3, 28, 28)
    expected = F.interpolate(maps, (61, 5), mode='bicubic', align_corners=False)
    torch.testing.assert_close(resized, expected.flatten(2).mT)
    assert resize_positions(patches, (61, 5), 0.1).shape == (1, 305, 3)


def test_grids_of_all_sizes():
    patches = torch.randn(1, 14 * 14, 1)
    for side in range(1, 80):
        for offset in (0.0, 0.1):
            assert resize_positions(patches, (side, 3), offset).shape == (1, 3 * side, 1)


def test_patches_must_form_a_square():
    with pytest.raises(ValueError, match='15 patch positions do not form a square'):
        resize_positions(torch.zeros(1, 15, 4), (3, 5))
