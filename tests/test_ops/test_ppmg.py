"""Smoothing by the coefficient of variation, and masks by shares."""

import numpy as np
import pytest
import torch

from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores
from mmwsss.ops.ppmg import (
    coefficient_of_variation,
    foreground_scores,
    proportional_label,
    smooth_activation,
)


def test_variation_is_that_of_the_population_of_active_pixels():
    cams = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    found = coefficient_of_variation(cams, 0.3, 0.5)
    for maps, values in zip(cams.flatten(0, 1), found.flatten(), strict=True):
        active = maps[maps > 0.3].double().numpy()
        assert values.item() == pytest.approx(0.5 * np.std(active) / np.mean(active), rel=1e-5)


def test_a_class_without_an_active_pixel_is_not_smoothed_and_gets_no_pixel():
    cams = torch.stack([torch.full((6, 6), 0.04), torch.full((6, 6), 0.5)])
    assert coefficient_of_variation(cams).tolist() == [0.0, 0.0]
    smoothed = smooth_activation(cams)
    assert not smoothed[0].any() and torch.equal(smoothed[1], cams[1])
    crf = DenseCRF(torch.zeros(6, 6, 3, dtype=torch.uint8), 'pmm')
    foreground = crf.binary(foreground_scores(smoothed)) > 0.5
    assert not foreground[0].any() and foreground[1].all()
    label = proportional_label(cams, foreground, torch.tensor([3, 7]))
    assert (label == 8).all()
    nothing = proportional_label(cams[:1], foreground[:1], torch.tensor([3]))
    assert not nothing.any()
    assert not proportional_label(cams[:0], foreground[:0], torch.tensor([], dtype=int)).any()


def test_peaked_maps_are_flattened_most_and_stay_in_range():
    peaked, flat = torch.full((8, 8), 0.06), torch.full((8, 8), 0.5)
    peaked[:2] = 1.0
    flat[0] = 0.6
    out = smooth_activation(torch.stack([peaked, flat]), scale=3.0)  # some exponents below 0
    assert out.min() >= 0 and out.max() <= 1 and out.isfinite().all()
    plain = smooth_activation(torch.stack([peaked, flat]))
    gain = (plain / torch.stack([peaked, flat]))[:, -1, -1]
    assert gain[0] > gain[1] > 1


def test_contested_pixels_go_to_the_class_of_the_largest_share():
    """The large object is more active in the middle, but the small one has more of itself there."""
    cams = torch.tensor([[[0.9, 0.9, 0.9, 0.8]], [[0.0, 0.0, 0.1, 0.7]]])
    foreground = torch.tensor([[[True, True, True, True]], [[False, False, False, True]]])
    label = proportional_label(cams, foreground, torch.tensor([0, 1]))
    shares = 0.8 / (1 + 3.5), 0.7 / (1 + 0.7)
    assert shares[0] < shares[1] and label[0].tolist() == [1, 1, 1, 2]
    tie = proportional_label(
        cams[:1].repeat(2, 1, 1), foreground[:1].repeat(2, 1, 1), torch.tensor([4, 2])
    )
    assert (tie == 5).all()
    batch = proportional_label(cams[None], foreground[None], torch.tensor([[0, -1]]))
    assert (batch == 1).all()


@pytest.mark.parametrize('classes', [1, 3, 9])
def test_problems_of_two_labels_at_once_are_those_one_by_one(classes):
    generator = torch.Generator().manual_seed(classes)
    image = torch.randint(0, 256, (17, 23, 3), generator=generator, dtype=torch.uint8)
    scores = torch.rand(classes, 2, 17, 23, generator=generator)
    crf = DenseCRF(image, 'pmm')
    expected = torch.stack([crf(unary_from_scores(one))[1] for one in scores])
    assert torch.allclose(crf.binary(scores), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r'\(K, 2, H, W\)'):
        crf.binary(scores[:, :1])


def test_tensor_operations_give_the_same():
    from mmwsss.ops.dense_crf.lattice import TorchMeanField

    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (12, 15, 3), generator=generator, dtype=torch.uint8)
    scores = torch.rand(3, 2, 12, 15, generator=generator)
    unary = unary_from_scores(scores)
    field = TorchMeanField(image[None], (3, 10), (80, 13, 10))
    state = field.infer_pairs((unary[:, 1] - unary[:, 0]).flatten(1), 10)
    ours = DenseCRF(image, 'pmm').binary(scores)
    assert torch.allclose((1 + state.view(3, 12, 15)) / 2, ours, atol=1e-4)
