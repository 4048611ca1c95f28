import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.affinity import (
    _tensor_label,
    affinity_label,
    gated_attention,
    propagate,
    radius_mask,
    random_walk_step,
    sinkhorn_symmetric,
)


def test_propagate_is_the_matrix_power():
    torch.manual_seed(0)
    matrix, cam = torch.rand(3, 6, 6), torch.rand(4, 6)
    index = torch.tensor([0, 0, 2, 2])
    expected = torch.stack(
        [torch.linalg.matrix_power(matrix[i], 3) @ c for i, c in zip(index, cam, strict=True)]
    )
    torch.testing.assert_close(propagate(matrix, cam, index, power=3), expected)
    assert propagate(matrix, cam[:0], index[:0]).shape == (0, 6)


def test_sinkhorn_makes_rows_and_columns_sum_to_one():
    matrix = sinkhorn_symmetric(torch.rand(2, 8, 8) + 0.1, iterations=50)
    torch.testing.assert_close(matrix, matrix.transpose(1, 2))
    torch.testing.assert_close(matrix.sum(-1), torch.ones(2, 8))


def test_gated_attention_keeps_heavy_maps_per_image():
    attn = torch.ones(3, 2, 4, 4)
    attn[0, 0] = 5  # image 0: only this map reaches the mean; image 1: a tie keeps all
    affinity = torch.full((2, 4, 4), 0.5)
    gated = gated_attention(attn, affinity, last=3)
    torch.testing.assert_close(gated[0], torch.full((4, 4), 2.5), rtol=1e-4, atol=0)
    torch.testing.assert_close(gated[1], torch.full((4, 4), 0.5), rtol=1e-4, atol=0)


def test_affinity_label():
    label = torch.tensor([[[0, 0, 1, 1], [9, 9, 9, 9], [255, 9, 0, 9], [9, 9, 9, 9]]])
    target = affinity_label(label, (2, 2), radius=1)[0]  # cells 0, 1, 255, 0
    expected = torch.tensor([[1, 0, 255, 1], [0, 1, 255, 0], [255] * 4, [1, 0, 255, 1]])
    assert torch.equal(target, expected)


@pytest.mark.parametrize('radius', [None, 0, 2, 30])
@pytest.mark.parametrize('size', [(7, 9), (37, 50), (5, 6)])
def test_labels_equal_the_tensor_operations_on_a_nearest_resize(size, radius):
    label = torch.randint(0, 4, (3, *size)).masked_fill(torch.rand(3, *size) < 0.2, 255).byte()
    cells = F.interpolate(label[:, None].float(), size=(5, 6), mode='nearest')[:, 0].long()
    target = affinity_label(label, (5, 6), radius)
    assert target.dtype == torch.uint8
    assert torch.equal(target, _tensor_label(cells, radius))


def test_radius_mask():
    mask = radius_mask((1, 4), 1)
    assert mask.sum(1).tolist() == [2, 3, 3, 2]


def test_without_a_radius_every_known_pair_has_a_label():
    label = torch.tensor([[[0, 3], [3, 255]]])
    expected = [[1, 0, 0, 255], [0, 1, 1, 255], [0, 1, 1, 255], [255] * 4]
    assert affinity_label(label, (2, 2), None)[0].tolist() == expected


def test_random_walk_step():
    torch.manual_seed(0)
    affinity, scores = torch.rand(2, 12, 12), torch.rand(2, 5, 3, 4)
    mask = radius_mask((3, 4), 1).float()
    walk = (affinity * mask) ** 2
    walk = walk / (walk.sum(dim=1, keepdim=True) + 0.1)
    expected = torch.einsum('bmi,bij->bmj', scores.flatten(2), walk).view_as(scores)
    torch.testing.assert_close(random_walk_step(scores, affinity, radius=1), expected)
    alone = random_walk_step(scores, torch.eye(12).expand(2, -1, -1), eps=0.0)
    torch.testing.assert_close(alone, scores)
