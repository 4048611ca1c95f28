"""APC: two views, maps by GETAM."""

import pytest
import torch
import torch.nn.functional as F

from mmwsss.models import APC, AttentionViewLoss
from mmwsss.ops.affinity.attention_views import getam
from mmwsss.testing import labelled_samples


def method(tokens=1, weight=125.0, **test_cfg) -> APC:
    torch.manual_seed(0)
    backbone = dict(
        type='mmwsss.MultiClassTokenViT', num_classes=tokens, img_size=32, embed_dims=16,
        num_layers=3, num_heads=2, patch_size=8, drop_path_rate=0.0,
    )  # fmt: skip
    head = dict(type='mmwsss.ClassTokenLinearHead', in_channels=16, num_classes=3)
    loss = dict(type='mmwsss.AttentionViewLoss', class_weight=weight, pair_weight=weight)
    norm = dict(type='mmseg.SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3)
    test_cfg = dict(dict(start_layer=1), **test_cfg)
    return APC(backbone, head, loss, test_cfg=test_cfg, data_preprocessor=norm).eval()


@pytest.mark.parametrize('heads', [False, True])
def test_both_forwards_give_the_same_tokens(heads):
    net, image = method().backbone, torch.randn(2, 3, 32, 40)
    tokens, layers = net.forward_with_layers(image, heads)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(net(image), tokens, strict=True))
    assert len(layers) == 3
    assert all(layer.shape == (2, *(2,) * heads, 21, 21) for layer in layers)
    total = sum(layer.mean(1) if heads else layer for layer in layers)
    sums = net.forward_with_attn(image, 3)[1]
    assert torch.allclose(sums.patch, total[:, 1:, 1:], atol=1e-6)


def test_losses_are_those_of_two_views():
    net, image = method(weight=2.0), torch.randn(1, 3, 32, 40)
    losses = net.loss(image, labelled_samples((0, 2), num_classes=3))
    labels = torch.tensor([[1.0, 0, 1]])
    views = [net.decode_head(net.extract_feat(x)) for x in (image, image.flip(-1))]
    expected = sum(F.multilabel_soft_margin_loss(view, labels) for view in views)
    assert torch.allclose(losses['loss_cls'], expected)
    assert set(losses) == {'loss_cls', 'loss_class_attention', 'loss_pair_attention'}
    assert all(value > 0 for value in losses.values())
    half = method(weight=1.0).loss(image, labelled_samples((0, 2), num_classes=3))
    assert torch.allclose(losses['loss_pair_attention'], 2 * half['loss_pair_attention'])


@pytest.mark.parametrize('rule', ['grad', 'cam_grad_s'])
def test_maps_class_by_class(rule):
    """Against one backward pass for each image and class."""
    net, images = method(rule=rule), torch.randn(2, 3, 32, 40)
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    with torch.no_grad():
        refined = net.class_maps(images, labels)
        net.test_cfg = dict(net.test_cfg, maps='plain')
        plain = net.class_maps(images, labels)
    assert plain.shape == (2, 3, 4, 5)
    for b, c in labels.nonzero().tolist():
        features, layers = net.backbone.forward_with_layers(images[b : b + 1], heads=True)
        grads = torch.autograd.grad(net.decode_head(features)[0, c], layers)
        expected = getam(torch.stack(layers), torch.stack(grads), 1, rule)[0]
        assert torch.allclose(plain[b, c].flatten(), expected, rtol=1e-4, atol=1e-9)
        spread = sum(layer[0].mean(0)[1:, 1:] for layer in layers) @ expected
        assert torch.allclose(refined[b, c].flatten(), spread, rtol=1e-4, atol=1e-9)
    assert not plain[0, 1].any() and not plain[1, [0, 2]].any()


def test_images_without_classes():
    net, images = method(), torch.randn(2, 3, 32, 32)
    samples = labelled_samples((), (1,), num_classes=3, size=(32, 32))
    assert all(value.isfinite() for value in net.loss(images, samples).values())
    with torch.no_grad():
        out = net.predict(images, samples)
        alone = net.predict(images[:1], samples[:1])
    assert out[0].pred_cam.cam.shape == (0, 32, 32) and not out[0].pred_sem_seg.data.any()
    assert out[1].pred_cam.labels.tolist() == [1] and not alone[0].pred_sem_seg.data.any()


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r'backbone\.num_classes=3, the class tokens, must be 1'):
        method(tokens=3)
    with pytest.raises(ValueError, match=r'start_layer must be a number in \[0, 2\], got 3'):
        method(start_layer=3)
    with pytest.raises(ValueError, match='rule must be one of grad'):
        method(rule='gard')
    with pytest.raises(ValueError, match='pair_weight must be'):
        AttentionViewLoss(pair_weight=-1)
