"""Refined maps and the losses of two views, against slow plain formulas."""

import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.seam import (
    background_and_winner,
    min_pooling_loss,
    pixel_correlation,
    scaled_maps,
    seam_losses,
)


def test_only_the_largest_class_of_a_pixel_is_passed_on():
    cam = torch.zeros(1, 3, 1, 3)
    cam[0, 0] = 9.0  # the background channel is not looked at
    cam[0, 1, 0] = torch.tensor([4.0, 1.0, -3.0])
    cam[0, 2, 0] = torch.tensor([1.0, 2.0, -1.0])
    out = background_and_winner(cam)[0, :, 0]
    expected = [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert torch.allclose(out, torch.tensor(expected), atol=2e-5)


def test_correlation_is_the_mean_of_pixels_of_equal_features():
    torch.manual_seed(0)
    maps, features = torch.rand(2, 3, 2, 4), torch.randn(2, 5, 2, 4)
    out = pixel_correlation(maps, features)
    for b in range(2):
        f = features[b].flatten(1)
        for j in range(8):
            weights = [max(0.0, F.cosine_similarity(f[:, i], f[:, j], dim=0)) for i in range(8)]
            values = sum(w * maps[b].flatten(1)[:, i] for i, w in enumerate(weights))
            assert torch.allclose(out[b].flatten(1)[:, j], values / sum(weights), atol=1e-4)


def test_scaling_and_pooling():
    maps = torch.tensor([[[[-1.0, 0.0], [1.0, 3.0]]]])
    assert torch.allclose(scaled_maps(maps)[0, 0], torch.tensor([[0, 0], [1 / 3, 1.0]]), atol=1e-4)
    assert not scaled_maps(torch.zeros(1, 1, 2, 2)).any()
    several = torch.tensor([[[[0.2, 0.4], [0.6, 0.8]], [[0.5, 0.1], [0.1, 0.1]]]])
    assert min_pooling_loss(several) == pytest.approx(0.4)  # the one smallest of four maxima


def test_views_that_agree_have_no_loss_of_equivariance():
    """A map that is linear is the same before and behind a reduction with aligned corners."""
    cam = torch.linspace(0, 1, 11).expand(1, 2, 11, 11).clone().requires_grad_()
    small = F.interpolate(cam, (6, 6), mode='bilinear', align_corners=True)
    labels = torch.ones(1, 1)
    assert seam_losses(cam, cam, small, small, labels)['loss_er'].item() < 1e-5
    other = seam_losses(cam, cam, small.flip(-1), small, labels)
    assert other['loss_er'] > 0.4
    other['loss_er'].backward()
    assert cam.grad.abs().sum() > 0


def test_an_image_without_a_class_is_all_background():
    torch.manual_seed(0)
    maps = [torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), *torch.randn(2, 1, 4, 3, 3)]
    losses = seam_losses(*maps, torch.zeros(1, 3))
    assert all(loss.isfinite() for loss in losses.values())
    assert losses['loss_er'] == losses['rvmin1'] == 0
