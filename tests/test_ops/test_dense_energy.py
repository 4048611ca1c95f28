import pytest
import torch

from mmwsss.ops.dense_crf.lattice import PermutohedralLattice
from mmwsss.ops.losses.dense_energy import _bilateral_features, bilateral_filter, dense_energy_loss


def picture(batch=2, height=24, width=20):
    """Smooth images in [0, 255] and probabilities of three classes."""
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(
        torch.rand(batch, 3, 4, 4), (height, width), mode='bilinear'
    )
    return image * 255, torch.randn(batch, 3, height, width).mul(2).softmax(1)


def test_lattice_follows_the_exact_gaussian_sum():
    image, values = picture()
    features = _bilateral_features(image, 50.0, 15.0)
    exact = (-torch.cdist(features, features).square() / 2).exp() @ values.flatten(2).mT
    filtered = bilateral_filter(image, values, 50.0, 15.0).flatten(2).mT
    assert 0.3 < (filtered / exact).median() < 0.8
    assert torch.corrcoef(torch.stack([filtered.flatten(), exact.flatten()]))[0, 1] > 0.95


def test_cpu_and_device_filters_agree():
    image, values = picture()
    features = _bilateral_features(image, 50.0, 15.0)
    group = torch.arange(2).repeat_interleave(features.shape[1])
    lattice = PermutohedralLattice(features.flatten(0, 1), group, normalise=False)
    expected = lattice.filter(values.flatten(2).mT.flatten(0, 1)).unflatten(0, (2, -1)).mT
    filtered = bilateral_filter(image, values, 50.0, 15.0)
    torch.testing.assert_close(filtered.flatten(2), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('channels', [1, 4, 5, 21])
def test_channels_are_filtered_independently(channels):
    image, _ = picture(1)
    values = torch.rand(1, channels, 24, 20)
    alone = [bilateral_filter(image, values[:, c : c + 1], 20, 15) for c in range(channels)]
    filtered = bilateral_filter(image, values, 20, 15)
    torch.testing.assert_close(filtered, torch.cat(alone, 1), rtol=1e-4, atol=1e-5)


def test_value_and_gradient():
    image, prob = picture()
    prob.requires_grad_()
    label = torch.zeros(2, 24, 20, dtype=torch.long)
    label[:, :, 10:] = 255
    options = dict(weight=1e-3, sigma_xy=40.0, sigma_rgb=15.0, scale_factor=1.0)
    loss = dense_energy_loss(prob, image, label, **options)
    (gradient,) = torch.autograd.grad(loss, prob)
    filtered = bilateral_filter(image, prob, 40.0, 15.0)
    gate = (1 - prob.detach().amax(1)).masked_fill(label == 255, 1)[:, None]
    expected = -1e-3 / 2 * filtered * gate
    torch.testing.assert_close(loss, (expected * prob.detach()).sum())
    torch.testing.assert_close(gradient, 2 * expected)


def test_pixels_outside_the_box_do_not_count():
    image, prob = picture(1)
    label, box = torch.zeros(1, 24, 20, dtype=torch.long), torch.tensor([[4, 30, -2, 12]])
    prob.requires_grad_()
    loss = dense_energy_loss(prob, image, label, box)
    (gradient,) = torch.autograd.grad(loss, prob)
    inside = torch.zeros(24, 20, dtype=torch.bool)
    inside[4:, :12] = True
    assert loss < 0
    assert (gradient[0, :, ~inside] == 0).all()
    assert (gradient[0, :, inside] != 0).any()


def test_certain_pixels_cost_nothing_unless_ignored():
    image, _ = picture(1)
    label = torch.zeros(1, 24, 20, dtype=torch.long)
    certain = torch.nn.functional.one_hot(label, 3).movedim(-1, 1).float()
    assert dense_energy_loss(certain, image, label) == 0
    assert dense_energy_loss(certain, image, torch.full_like(label, 255)) < 0


def test_bad_input_is_named():
    image, prob = picture()
    label = torch.zeros(2, 24, 20)
    with pytest.raises(ValueError, match='must have one size'):
        dense_energy_loss(prob, image[..., :10], label)
    with pytest.raises(ValueError, match='do not fit'):
        bilateral_filter(image[:1], prob, 50, 15)
    with pytest.raises(ValueError, match='must be > 0'):
        bilateral_filter(image, prob, 50, 0)
