"""Sharpness of class scores."""

import torch

from mmwsss.ops.clip.sharpness import score_sharpness


def test_mean_of_var_by_mean_over_images_of_several_classes():
    prob = torch.tensor([[0.6, 0.2, 0.1], [0.9, 0.05, 0.05], [0.3, 0.3, 0.3]])
    labels = torch.tensor([[1.0, 1, 0], [1, 0, 0], [1, 1, 1]])
    # first image: mean 0.4, variance 0.04; second: one class, left out; third: no variance
    torch.testing.assert_close(score_sharpness(prob, labels), torch.tensor(0.04 / 0.4 / 2))


def test_no_image_of_several_classes():
    assert score_sharpness(torch.rand(2, 3), torch.eye(3)[:2]).isnan()
