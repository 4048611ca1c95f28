"""MCTformer: encoder, head, maps."""

import pytest
import torch

from mmwsss.models import MCTformer, MultiClassTokenViT
from mmwsss.testing import labelled_samples

SMALL = dict(embed_dims=16, num_layers=4, num_heads=2, patch_size=8, drop_path_rate=0.0)


def encoder(**changes) -> MultiClassTokenViT:
    torch.manual_seed(0)
    return MultiClassTokenViT(3, **{**SMALL, 'img_size': 32, **changes}).eval()


def method(positions='joint', pool='avg', **test_cfg) -> MCTformer:
    torch.manual_seed(0)
    backbone = dict(
        type='mmwsss.MultiClassTokenViT', num_classes=3, img_size=32, positions=positions, **SMALL
    )
    head = dict(type='mmwsss.ClassTokenHead', in_channels=16, num_classes=3, patch_pool=pool)
    norm = dict(type='mmseg.SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3)
    return MCTformer(backbone, head, test_cfg=test_cfg, data_preprocessor=norm).eval()


@pytest.mark.parametrize('positions', ['joint', 'split'])
@pytest.mark.parametrize('size', [(32, 32), (24, 40), (45, 39)])
def test_both_forwards_give_the_same_tokens(positions, size):
    net, image = encoder(positions=positions), torch.randn(2, 3, *size)
    with torch.no_grad():
        plain = net(image)
        tokens, sums = net.forward_with_attn(image, 2)
    cells = (size[0] // 8) * (size[1] // 8)
    assert plain.patches.shape == (2, 16, size[0] // 8, size[1] // 8)
    assert plain.class_tokens.shape == (4, 2, 3, 16)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain, tokens, strict=True))
    assert sums.patch.shape == (2, cells, cells) and sums.class_patch.shape == (2, 3, cells)
    assert (sums.class_patch.sum(-1) < 2).all() and (sums.patch.sum(-1) < 4).all()


def test_pixels_beyond_the_last_patch_are_not_seen():
    net, image = encoder(), torch.randn(1, 3, 32, 44)
    other = image.clone()
    other[..., 40:] = 5
    assert torch.equal(net(image).patches, net(other).patches)


def test_stochastic_depth_rises_from_zero():
    blocks = encoder(drop_path_rate=0.1).blocks
    rates = [getattr(block.drop_path1, 'drop_prob', 0.0) for block in blocks]
    assert rates == pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1])


def test_square_images_of_another_size_have_resized_positions():
    net = encoder(positions='split')
    own = net.position_table((32, 32), (4, 4))
    assert torch.equal(own[:, 3:], net.pos_embed_pat)
    # as many patches, but the image is no square: the table is resized all the same
    assert net.position_table((32, 39), (4, 4)).shape == own.shape
    assert net.position_table((48, 48), (6, 6)).shape == (1, 3 + 36, 16)


def test_what_the_encoder_refuses():
    with pytest.raises(ValueError, match='multiple of patch_size=8'):
        encoder(img_size=30)
    with pytest.raises(ValueError, match='positions must be one of joint, split'):
        encoder(positions='both')
    with pytest.raises(ValueError, match='7 x 40 pixels is smaller than a patch of 8'):
        encoder()(torch.randn(1, 3, 7, 40))
    with pytest.raises(ValueError, match=r'class_layers must be in 1\.\.4'):
        encoder().forward_with_attn(torch.randn(1, 3, 32, 32), 5)
    with pytest.raises(ValueError, match='trained on images of img_size=32, got 32 x 40'):
        encoder(positions='split').train()(torch.randn(1, 3, 32, 40))
    assert encoder().train()(torch.randn(1, 3, 32, 40)).patches.shape[-2:] == (4, 5)


def test_maps_are_refined_by_rows_of_the_affinity():
    net, image = method(), torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        sums = net.backbone.forward_with_attn(image, 3)[1]
        refined = net.class_maps(image)
        net.test_cfg = dict(maps='plain')
        plain = net.class_maps(image)
    expected = torch.einsum('bij,bcj->bci', sums.patch, plain.flatten(2))
    assert torch.allclose(refined.flatten(2), expected, rtol=1e-4, atol=1e-7)
    assert plain.min() >= 0


def test_losses_of_the_versions():
    samples = labelled_samples((0, 2), num_classes=3, size=(32, 32))
    images = torch.randn(len(samples), 3, 32, 32)
    assert set(method(pool='none', fusion='class').loss(images, samples)) == {'loss_cls'}
    assert set(method().loss(images, samples)) == {'loss_cls', 'loss_patch'}
    plus = method('split', 'rank')
    plus.decode_head.contrast_weight = 1.0
    assert set(plus.loss(images, samples)) == {'loss_cls', 'loss_patch', 'loss_contrast'}


def test_images_without_classes():
    net = method()
    samples = labelled_samples((), (1,), num_classes=3, size=(32, 32))
    assert all(v.isfinite() for v in net.loss(torch.randn(2, 3, 32, 32), samples).values())
    with torch.no_grad():
        out = net.predict(torch.randn(2, 3, 32, 32), samples)
    assert out[0].pred_cam.cam.shape == (0, 32, 32) and not out[0].pred_sem_seg.data.any()
    assert out[1].pred_cam.labels.tolist() == [1]


def test_what_the_segmentor_refuses():
    with pytest.raises(ValueError, match="needs a patch classifier: say fusion='class'"):
        method(pool='none')
    with pytest.raises(ValueError, match=r'class_layers must be a number in \[1, 4\]'):
        method(class_layers=5)
    with pytest.raises(ValueError, match='fusion must be one of product'):
        method(fusion='products')
    backbone = dict(type='mmwsss.MultiClassTokenViT', num_classes=4, img_size=32, **SMALL)
    head = dict(type='mmwsss.ClassTokenHead', in_channels=16, num_classes=3)
    with pytest.raises(ValueError, match=r'num_classes=4 and decode_head\.num_classes=3'):
        MCTformer(backbone, head)
