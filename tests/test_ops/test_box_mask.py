import numpy as np
import torch
from scipy import ndimage

from mmwsss.ops.affinity.box_mask import box_mask, connected_components


def test_components_are_scipys():
    torch.manual_seed(0)
    binary = torch.rand(50, 12, 17) < 0.45
    for ours, mask in zip(connected_components(binary), binary, strict=True):
        theirs, count = ndimage.label(mask.numpy(), np.ones((3, 3)))
        pairs = set(zip(ours[mask].tolist(), theirs[mask.numpy()].tolist(), strict=True))
        assert len(pairs) == count == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert (ours[~mask] == 0).all()


def test_boxes_of_each_component():
    cam = torch.zeros(1, 8, 9)
    cam[0, 1, 1] = cam[0, 2, 2] = 1.0  # touch at a corner: one component
    cam[0, 5, 5:7] = 0.9
    cam[0, 4, 1] = 0.3  # below the threshold
    expected = torch.zeros(1, 8, 9, dtype=torch.bool)
    expected[0, 1:3, 1:3] = expected[0, 5, 5:7] = True
    assert torch.equal(box_mask(cam, 0.4), expected)


def test_last_row_and_column_are_never_inside():
    cam = torch.zeros(2, 5, 5)
    cam[0, 4, :] = 1  # only there: nothing is left
    cam[1, 2:, 2:] = 1
    mask = box_mask(cam, 0.4)
    assert not mask[0].any()
    assert mask[1].nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_empty_input():
    assert box_mask(torch.zeros(0, 4, 4), 0.4).shape == (0, 4, 4)
    assert not box_mask(torch.zeros(1, 4, 4), 0.4).any()
