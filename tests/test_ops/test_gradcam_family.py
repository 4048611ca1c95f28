"""The batched gradients against one plain backward pass per pair."""

import warnings

import pytest
import torch
from torch import nn

from mmwsss.ops.cam.gradcam_family import (
    METHODS,
    channel_weights,
    class_gradients,
    gradcam,
    gradcam_maps,
    scale_maps,
    tokens_to_map,
)

PAIRS = [(0, 2), (0, 5), (2, 0), (2, 2), (2, 3)]  # image 1 has none


def pairs():
    return tuple(torch.tensor(index) for index in zip(*PAIRS, strict=True))


def cnn():
    torch.manual_seed(0)
    front = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
    tail = nn.Sequential(
        nn.Conv2d(8, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 6),
    )
    return front.eval(), tail.eval()


@pytest.mark.parametrize('method', METHODS)
def test_cnn_equals_one_backward_pass_per_pair(method):
    front, tail = cnn()
    images = torch.randn(3, 3, 17, 23)
    maps, logits = gradcam(front, tail, images, *pairs(), method)
    assert not maps.requires_grad and all(p.grad is None for p in tail.parameters())
    for got, (image, cls) in zip(maps, PAIRS, strict=True):
        activation = front(images[image : image + 1]).detach().requires_grad_()
        score = tail(activation)[0, cls]
        (gradient,) = torch.autograd.grad(score, activation)
        torch.testing.assert_close(logits[image, cls], score.detach())
        expected = gradcam_maps(activation.detach(), gradient, method)[0]
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-7)


def test_transformer_with_its_residual_stream():
    """Target: the normed input of the last attention; the head reads the class token alone."""
    torch.manual_seed(0)
    norm, attention = nn.LayerNorm(16), nn.MultiheadAttention(16, 4, batch_first=True)
    head, embed = nn.Linear(16, 6), nn.Conv2d(3, 16, 4, stride=4)

    def front(images):
        tokens = embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        return norm(tokens), tokens

    def tail(y, tokens):
        return head((tokens + attention(y, y, y, need_weights=False)[0])[:, 0])

    images = torch.randn(3, 3, 8, 12)
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # no fall-back to a slow loop over the classes
        maps, _ = gradcam(front, tail, images, *pairs(), to_map=lambda x: tokens_to_map(x, (2, 3)))
    for got, (image, cls) in zip(maps, PAIRS, strict=True):
        y, tokens = (x.detach() for x in front(images[image : image + 1]))
        y.requires_grad_()
        (gradient,) = torch.autograd.grad(tail(y, tokens)[0, cls], y)
        expected = (y[0, 1:] @ gradient[0, 1:].mean(0)).detach().view(2, 3)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_average_pooling_and_a_linear_head_give_the_plain_cam():
    features, head = torch.rand(2, 8, 4, 5), nn.Linear(8, 6)
    image_index, class_index = torch.tensor([0, 1]), torch.tensor([3, 1])
    gradients, _ = class_gradients(
        lambda x: head(x.mean((2, 3))), features, image_index, class_index
    )
    cam = torch.einsum('pchw,pc->phw', features, head.weight[class_index]) / 20
    torch.testing.assert_close(gradcam_maps(features, gradients), cam)


def test_no_pairs_and_a_class_outside():
    front, tail = cnn()
    images, none = torch.randn(2, 3, 9, 9), torch.empty(0, dtype=torch.long)
    maps, logits = gradcam(front, tail, images, none, none)
    assert maps.shape == (0, 4, 4) and logits.shape == (2, 6)
    with pytest.raises(ValueError, match=r'classes \[6\] are not all below the 6 scores'):
        gradcam(front, tail, images, torch.tensor([0]), torch.tensor([6]))


def test_zero_gradients_give_zero_maps():
    activation = torch.rand(1, 4, 3, 3)
    for method in METHODS:
        assert (gradcam_maps(activation, torch.zeros_like(activation), method) == 0).all()


def test_scaling_fills_the_unit_interval():
    scaled = scale_maps(torch.randn(3, 4, 5), (16, 20))
    assert scaled.shape == (3, 16, 20) and scaled.min() == 0
    torch.testing.assert_close(scaled.amax((1, 2)), torch.ones(3))


def test_bad_arguments():
    with pytest.raises(ValueError, match="method='scorecam' is not one of"):
        gradcam_maps(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 'scorecam')
    with pytest.raises(ValueError, match='no channel weights'):
        channel_weights(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 'layercam')
    with pytest.raises(ValueError, match='6 patch tokens do not fill a grid of 2 x 2'):
        tokens_to_map(torch.zeros(1, 7, 4), (2, 2))
