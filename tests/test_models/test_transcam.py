"""TransCAM and the reconstruction of AVC: encoder, head, maps, losses."""

import itertools

import pytest
import torch

from mmwsss.models import AffinityVectorLoss, Conformer, TransCAM
from mmwsss.testing import labelled_samples, training_iteration

SMALL = dict(
    base_channels=8, channel_ratio=2, embed_dims=16, depth=3, num_heads=2, drop_path_rate=0.0
)


def encoder(**changes) -> Conformer:
    torch.manual_seed(0)
    return Conformer(**{**SMALL, 'patch_size': 8, **changes}).eval()


def method(consistency=None, background_channel=True, **test_cfg) -> TransCAM:
    torch.manual_seed(0)
    backbone = dict(type='mmwsss.Conformer', patch_size=8, **SMALL)
    head = dict(
        type='mmwsss.DualBranchCAMHead',
        in_channels=64,
        embed_dims=16,
        num_classes=3,
        background_channel=background_channel,
    )
    if consistency is not None:
        consistency = dict(type='mmwsss.AffinityVectorLoss', **consistency)
    norm = dict(type='mmseg.SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3)
    return TransCAM(backbone, head, consistency, test_cfg=test_cfg, data_preprocessor=norm).eval()


def images(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('patch', [8, 16])
@pytest.mark.parametrize('size', [(64, 64), (32, 80)])
def test_the_three_forwards_agree(patch, size):
    net, image = encoder(patch_size=patch), images(2, 3, *size)
    grid = size[0] // patch, size[1] // patch
    cells = grid[0] * grid[1]
    with torch.no_grad():
        plain = net(image)
        summed, sums = net.forward_with_attn(image)
        kept, layers = net.forward_with_layers(image)
    assert plain.conv.shape == (2, 64, *grid) and plain.tokens.shape == (2, 1 + cells, 16)
    for other in (summed, kept):
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain, other, strict=True))
    assert len(layers) == 3
    ones = torch.ones(2, 1 + cells)
    assert all(torch.allclose(layer.sum(-1), ones) for layer in layers)
    total = sum(layers)
    assert torch.allclose(sums.patch, total[:, 1:, 1:], atol=1e-6)
    assert torch.allclose(sums.class_patch, total[:, :1, 1:], atol=1e-6)


def test_images_that_the_patches_do_not_divide_are_covered():
    """A crop of 100 pixels is resized to 104, so that 13 cells cover all of it."""
    net, image = encoder(), images(1, 3, 100, 90)
    resized = torch.nn.functional.interpolate(image, (104, 96), mode='bilinear')
    with torch.no_grad():
        assert torch.equal(net(image).conv, net(resized).conv)
        assert net(image).conv.shape[-2:] == (13, 12)
        image[..., -1, -1] += 50  # the last pixels are seen
        assert not torch.allclose(net(image).conv, net(resized).conv)
    samples = labelled_samples((0,), num_classes=3, size=(100, 90))
    with torch.no_grad():
        out = method(merge='seam', flip=True).predict(image, samples)[0]
    assert out.pred_cam.cam.shape == (1, 100, 90)
    avc = method(dict(region_start=0)).train()
    assert all(v.isfinite() for v in avc.loss(image.repeat(2, 1, 1, 1), samples * 2).values())


def test_the_class_token_enters_each_block_doubled():
    net, seen = encoder(), []
    block = net.conv_trans_2
    tokens = images(1, 1 + 64, 16)
    block.trans_block.norm1.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    x = images(1, 16, 32, 32)
    block(x, tokens, torch.nn.functional.scaled_dot_product_attention)
    assert torch.allclose(seen[0][:, 0], 2 * tokens[:, 0])


def test_stochastic_depth_rises_from_zero():
    net = encoder(drop_path_rate=0.1)
    blocks = [net.trans_1, net.conv_trans_2.trans_block, net.conv_trans_3.trans_block]
    rates = [getattr(block.drop_path1, 'drop_prob', 0.0) for block in blocks]
    assert rates == pytest.approx([0, 0.05, 0.1])


def test_what_the_encoder_refuses():
    with pytest.raises(ValueError, match='depth=4 must be a multiple of 3'):
        encoder(depth=4)
    with pytest.raises(ValueError, match='patch_size must be one of 8, 16, got 32'):
        encoder(patch_size=32)
    with pytest.raises(ValueError, match='embed_dims=16 one of num_heads=3'):
        encoder(num_heads=3)
    with pytest.raises(ValueError, match='drop_path_rate'):
        encoder(drop_path_rate=1)


@pytest.mark.parametrize('background', [True, False])
def test_the_background_channel_is_never_trained(background):
    net = method(background_channel=background).train()
    assert len(net.decode_head.conv.weight) == 3 + background
    samples = labelled_samples((0, 2), (1,), num_classes=3)
    net.loss(images(2, 3, 64, 64), samples)['loss_cls'].backward()
    for layer in (net.decode_head.conv, net.decode_head.linear):
        grads = layer.weight.grad.flatten(1).abs().sum(1)
        assert (grads[-3:] > 0).all() and not grads[:-3].any()


def test_one_loss_sees_the_sum_of_both_branches():
    net, image = method(), images(2, 3, 64, 64)
    samples = labelled_samples((0, 2), (1,), num_classes=3)
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    with torch.no_grad():
        conv, token = net.decode_head.branches(net.extract_feat(image))
        loss = net.loss(image, samples)['loss_cls']
    logits = (conv + token)[:, 1:]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert torch.allclose(loss, expected)


@pytest.mark.parametrize('rule', ['rows', 'columns', 'class'])
def test_maps_are_refined_by_the_attention(rule):
    net, image = method(refine=rule), images(1, 3, 32, 40)
    with torch.no_grad():
        layers = net.backbone.forward_with_layers(image)[1]
        refined = net.class_maps(image)
        net.test_cfg = dict(maps='plain')
        plain = net.class_maps(image)
    total = sum(layers)[0]
    m = plain[0].flatten(1)
    s = total[1:, 1:]
    expected = dict(rows=m @ s.T, columns=m @ s, **{'class': m * total[0, 1:]})[rule]
    assert torch.allclose(refined[0].flatten(1), expected, rtol=1e-4, atol=1e-6)


def test_plain_maps_need_no_attention(monkeypatch):
    monkeypatch.setattr(Conformer, 'forward_with_attn', None)
    with torch.no_grad():
        assert method(maps='plain').class_maps(images(1, 3, 32, 32)).shape == (1, 3, 4, 4)


FLAGS = [dict(zip(('use_view', 'use_pos', 'use_neg'), f, strict=True))
         for f in itertools.product([False, True], repeat=3)]  # fmt: skip


@pytest.mark.parametrize('flags', FLAGS, ids=lambda f: '-'.join(k for k, on in f.items() if on))
def test_flags_of_the_reconstruction(flags):
    """All off is TransCAM exactly; each flag brings its own term."""
    image, samples = images(2, 3, 64, 64), labelled_samples((0, 2), (1,), num_classes=3)
    plain = method().train().loss(image, samples)
    losses = method(dict(region_start=0, **flags)).train().loss(image, samples)
    terms = {f'loss_{name[4:]}' for name, on in flags.items() if on}
    assert set(losses) == {'loss_cls', *terms}
    assert all(losses[name] > 0 for name in terms)
    if not terms:
        assert torch.equal(losses['loss_cls'], plain['loss_cls'])
    elif 'loss_view' not in terms:  # one view
        assert torch.allclose(losses['loss_cls'], plain['loss_cls'], atol=1e-5)


def test_classes_are_learned_from_both_views():
    net = method(dict(use_pos=False, use_neg=False))  # in eval mode batch norm keeps them apart
    image, samples = images(1, 3, 64, 64), labelled_samples((0, 2), num_classes=3)
    with torch.no_grad():
        both = net.loss(image, samples)['loss_cls']
        one, other = (
            net.decode_head.loss(net.extract_feat(x), torch.tensor([[1.0, 0, 1]]))['loss_cls']
            for x in (image, image.flip(-1))
        )
    assert torch.allclose(both, (one + other) / 2, atol=1e-5)


def test_regions_start_at_their_iteration():
    net, image = method(dict(region_start=5)).train(), images(2, 3, 64, 64)
    samples = labelled_samples((0, 2), (1,), num_classes=3)
    with training_iteration() as at:
        at(4)
        before = net.loss(image, samples)
        at(5)
        after = net.loss(image, samples)
    assert before['loss_pos'] == before['loss_neg'] == 0
    assert after['loss_pos'] > 0 and after['loss_neg'] > 0
    assert before['loss_view'] > 0


def test_weights_and_layers_of_the_loss():
    torch.manual_seed(0)
    layers = [torch.rand(2, 17, 17).softmax(-1) for _ in range(3)]
    cams, labels = torch.randn(2, 3, 4, 4), torch.tensor([[1.0, 0, 1]])
    one = AffinityVectorLoss(region_start=0)(layers, cams, labels, 0)
    twice = AffinityVectorLoss(region_start=0, view_weight=2, pos_weight=0.4, neg_weight=0)
    two = twice(layers, cams, labels, 0)
    assert torch.allclose(two['loss_view'], 2 * one['loss_view'])
    assert torch.allclose(two['loss_pos'], 2 * one['loss_pos']) and two['loss_neg'] == 0
    last = AffinityVectorLoss(use_pos=False, use_neg=False, last_layers=1)
    assert torch.equal(
        last(layers, cams, labels, 0)['loss_view'],
        last(layers[-1:], cams, labels, 0)['loss_view'],
    )
    with pytest.raises(ValueError, match=r'last_layers must be a number in \[1, 3\], got 4'):
        AffinityVectorLoss(last_layers=4)(layers, cams, labels, 0)


def test_the_gradient_reaches_the_attention_but_not_the_head():
    net, image = method(dict(region_start=0)).train(), images(2, 3, 64, 64)
    losses = net.loss(image, labelled_samples((0, 2), (1,), num_classes=3))
    sum(losses[f'loss_{name}'] for name in ('view', 'pos', 'neg')).backward()
    assert net.backbone.trans_1.attn.qkv.weight.grad.any()
    assert net.decode_head.conv.weight.grad is None


def test_the_terms_agree_with_the_ops_in_mixed_precision():
    layers = [torch.rand(2, 17, 17).softmax(-1).bfloat16() for _ in range(2)]
    cams, labels = torch.randn(2, 3, 4, 4).bfloat16(), torch.tensor([[1.0, 0, 1]])
    loss = AffinityVectorLoss(region_start=0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = loss(layers, cams, labels, 0)
    full = loss([layer.float() for layer in layers], cams.float(), labels, 0)
    assert all(torch.equal(half[name], full[name]) and half[name].dtype == torch.float32
               for name in full)  # fmt: skip


@pytest.mark.parametrize('consistency', [None, dict(region_start=0)], ids=['transcam', 'avc'])
def test_images_without_classes(consistency):
    net, image = method(consistency), images(2, 3, 64, 64)
    samples = labelled_samples((), (1,), num_classes=3, size=(64, 64))
    losses = net.train().loss(image, samples)
    assert all(value.isfinite() for value in losses.values())
    alone = net.loss(image[:1].repeat(2, 1, 1, 1), [samples[0]] * 2)
    assert all(value.isfinite() for value in alone.values())
    with torch.no_grad():
        out = net.eval().predict(image, samples)
    assert out[0].pred_cam.cam.shape == (0, 64, 64) and not out[0].pred_sem_seg.data.any()
    assert out[1].pred_cam.labels.tolist() == [1]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(view_mode='l2'), 'view_mode must be one of cosine'),
        (dict(use_neg='no'), "use_neg must be True or False, got 'no'"),
        (dict(view_weight=-1), 'view_weight must be'),
        (dict(region_start=0.5), 'region_start must be a whole number'),
        (dict(last_layers=0), 'last_layers must be a whole number'),
        (dict(foreground=1.5), 'foreground must be'),
        (dict(background=0.7), r'background must be a number in \[0, 0.6\]'),
    ],
)
def test_what_the_loss_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        AffinityVectorLoss(**settings)


def test_what_test_cfg_refuses():
    with pytest.raises(ValueError, match='refine must be one of rows, columns, class'):
        method(refine='transposed')
    with pytest.raises(ValueError, match='sizes takes the place of scales'):
        method(sizes=(64,), scales=(1.0, 2.0))
