"""AFA on a network of a few thousand parameters."""

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsss.models import AFA, AttentionAffinityHead, SegformerMLPHead
from mmwsss.ops.affinity.attention_logits import AttentionLogits
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_samples, multi_hot

CONFIGS = Path(__file__).parents[2] / 'configs'
DIMS = [8, 16, 16, 32]
samples = partial(labelled_samples, size=(32, 32))


def tiny_afa(**changes) -> AFA:
    """Cells of 8 pixels, 3 foreground classes; everything on from iteration 0."""
    init_default_scope('mmseg')
    config = dict(
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.0] * 3, std=[58.0] * 3),
        backbone=dict(
            type='mmwsss.MixVisionTransformerAttn',
            embed_dims=8,
            num_layers=(1, 1, 1, 2),
            num_heads=(1, 2, 2, 4),
            strides=(2, 2, 2, 1),
            sr_ratios=(4, 2, 2, 1),
        ),
        cam_head=dict(
            type='mmwsss.CAMHead', in_channels=32, num_classes=3, pool='max', dropout_ratio=0.0
        ),
        affinity_head=dict(type='mmwsss.AttentionAffinityHead', in_channels=8, radius=2),
        decode_head=dict(
            type='mmwsss.SegformerMLPHead',
            in_channels=DIMS,
            in_index=[0, 1, 2, 3],
            channels=8,
            num_classes=4,
            norm_cfg=dict(type='BN'),
            align_corners=False,
            loss_decode=dict(type='mmwsss.BalancedCrossEntropy', loss_name='loss_seg'),
        ),
        par=dict(type='mmwsss.PAR', dilations=(1, 2), iterations=2, resize='masks'),
        refined_start=0,
    )
    torch.manual_seed(0)
    return AFA(**{**config, **changes})


def images(number: int = 3, size=(32, 32)) -> torch.Tensor:
    """Smooth, so that PAR has something to follow."""
    coarse = torch.randn(number, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=size, mode='bicubic')


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def test_a_step_trains_everything_but_layer_norms(at):
    model = tiny_afa().train()
    losses = model.loss(images(), samples((0,), (1, 2), (2,)))
    assert set(losses) == {'loss_cls', 'loss_seg', 'loss_affinity', 'acc_seg'}
    total(losses).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.LayerNorm)
             for p in m.parameters()}  # fmt: skip
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (id(parameter) in norms), name


@pytest.mark.parametrize(
    'labels',
    [((), (), ()), ((0,), (), (1, 2)), ((1,), (1,), (1,)), ((0, 1, 2), (0, 1, 2), (0,))],
    ids=['no classes', 'one image without', 'single class', 'all classes'],
)
@pytest.mark.parametrize('thresholds', [(0.55, 0.35), (2.0, -2.0), (-2.0, -3.0), (2.0, 1.5)])
@pytest.mark.parametrize('refined_start', [0, 10])
def test_any_labels_train_without_nan(at, labels, thresholds, refined_start):
    """Thresholds: usual; nothing confident; no background; no foreground."""
    model = tiny_afa(refined_start=refined_start).train()
    model.high, model.low = thresholds
    inputs = images()
    inputs[1] = 0.3  # an image of one colour
    boxes = [(0, 32, 0, 32), (3, 20, 5, 99), (31, 32, 31, 32)]
    losses = model.loss(inputs, samples(*labels, boxes=boxes))
    total(losses).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_zero_weights_give_zero_gradients_and_cost_no_cam_pass(at, monkeypatch):
    start = [(5, 0.1)]
    model = tiny_afa(loss_schedule=dict(loss_seg=start, loss_affinity=start)).train()
    monkeypatch.setattr(model, 'make_cams', lambda *args: pytest.fail('a pass for nothing'))
    at(4)
    losses = model.loss(images(), samples((0,), (1, 2), ()))
    total(losses).backward()
    assert losses['loss_seg'] == 0 and losses['loss_affinity'] == 0 < losses['loss_cls']
    for head in (model.decode_head, model.affinity_head):
        assert all((p.grad == 0).all() for p in head.parameters())


def test_phases_follow_the_iteration(at, monkeypatch):
    start = [(3, 0.1)]
    seen = []
    for from_refined in (False, True):
        model = tiny_afa(
            loss_schedule=dict(loss_seg=start, loss_affinity=start),
            refined_start=6,
            affinity_from_refined=from_refined,
        ).train()
        monkeypatch.setattr(model, 'cam_label', lambda *args: 'cam')
        monkeypatch.setattr(model, 'refined_label', lambda *args: 'refined')
        for iteration in (3, 5, 6, 7):
            at(iteration)
            seen.append(model.make_labels(images(), multi_hot((0,), (1,), ()), None))
    cam, refined = ('cam', 'cam'), ('refined', 'refined')
    assert seen == [cam, cam, ('refined', 'cam'), ('refined', 'cam'), cam, cam, refined, refined]
    at(2)
    assert (model.make_labels(images(), multi_hot((0,), (1,), ()), None)[0] == 255).all()
    assert [model.loss_weight('loss_seg'), model.loss_weight('loss_cls')] == [0, 1]
    model.loss_schedule['loss_seg'] = [(2, 0.5), (0, 0.25)]
    assert model.loss_weight('loss_seg') == 0.5


def test_labels_do_not_depend_on_the_rest_of_the_batch(at):
    model = tiny_afa().eval()
    inputs, labels = images(), multi_hot((0, 1, 2), (1,), ())
    box = torch.tensor([[0, 32, 0, 32], [4, 30, 0, 26], [4, 30, 0, 26]])
    for model.refined_start in (0, 1):
        together, _ = model.make_labels(inputs, labels, box)
        for i in range(3):
            one = slice(i, i + 1)
            alone, _ = model.make_labels(inputs[one], labels[one], box[one])
            assert (together[i] == alone[0]).float().mean() > 0.99
        assert (together[1, :4] == 255).all() and (together[1, :, 26:] == 255).all()
        assert set(together[1].unique().tolist()) <= {0, 2, 255}
        assert set(together[2].unique().tolist()) == {0, 255}


def test_crops_must_fit_the_cells(at):
    model = tiny_afa()
    for size in ((40, 32), (32, 36)):
        with pytest.raises(ValueError, match='multiples of the 8 pixels'):
            model.loss(torch.zeros(1, 3, *size), samples((0,), size=size))


def test_switch_for_the_batch_norm_statistics(at):
    for switch, updates in ((False, 1), (True, 4)):
        model = tiny_afa(bn_stats_from_cam_passes=switch).train()
        model.loss_schedule = dict(loss_seg=[(9, 1.0)], loss_affinity=[(9, 1.0)])
        model.loss(images(), samples((0,), (1,), ()))
        assert model.decode_head.fusion_conv.norm.num_batches_tracked == updates


def test_energy_is_optional(at):
    model = tiny_afa(
        loss_energy=dict(type='mmwsss.DenseEnergyLoss', loss_weight=1.0),
        loss_schedule=dict(loss_energy=[(1, 0.01)]),
    ).train()
    assert 'loss_energy' not in model.loss(images(), samples((0,), (1, 2), ()))
    at(1)
    losses = model.loss(images(), samples((0,), (1, 2), ()))
    losses['loss_energy'].backward()
    assert losses['loss_energy'].isfinite() and model.decode_head.conv_seg.weight.grad.any()


def test_seg_mode_never_uses_image_labels():
    model = tiny_afa(test_cfg=dict(predict='seg', with_cam=True)).eval()
    first = model.predict(images(), samples((0,), (1,), (2,)))
    second = model.predict(images(), samples((1, 2), (0,), ()))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
    assert first[0].pred_cam.labels.tolist() == [0]
    assert second[0].pred_cam.cam.shape == (2, 32, 32)
    assert second[2].pred_cam.cam.shape == (0, 32, 32)
    assert (second[2].pred_pseudo_mask.data == 0).all()
    assert 'pred_cam' not in model.predict(images())[0]


@pytest.mark.parametrize('maps', ['refined', 'plain'])
def test_cam_mode_predicts_the_pseudo_mask(maps):
    model = tiny_afa(test_cfg=dict(predict='cam', maps=maps)).eval()
    size = (37, 50)
    result = model.predict(images(3, size), samples((0,), (1, 2), (), size=size))
    for sample, classes in zip(result, ({0, 1}, {0, 2, 3}, {0}), strict=True):
        assert sample.pred_sem_seg.data.shape == (1, *size)
        assert set(sample.pred_sem_seg.data.unique().tolist()) <= classes
        cams = sample.pred_cam.cam
        assert len(cams) == len(classes) - 1 and ((cams >= 0) & (cams <= 1)).all()
    with pytest.raises(ValueError, match='without image labels'):
        model.predict(images(3, size))


def test_views_of_the_test():
    model = tiny_afa(test_cfg=dict(long_side=64, scales=(1.0, 0.5, 0.75), flip=True)).eval()
    inputs = images(1, (24, 32))
    view = F.interpolate(inputs, size=(48, 64), mode='bilinear')
    expected = None
    for scale in (1, 0.5, 0.75):
        one = F.interpolate(view, scale_factor=scale, mode='bilinear') if scale != 1 else view
        plain, mirrored = model.encode_decode(one), model.encode_decode(one.flip(-1)).flip(-1)
        mean = F.interpolate((plain + mirrored) / 2, size=(24, 32), mode='bilinear')
        expected = mean if expected is None else torch.maximum(expected, mean)
    torch.testing.assert_close(model.merged_logits(inputs), expected, rtol=1e-4, atol=1e-5)
    model.test_cfg = dict(model.test_cfg, scales=(0.75, 0.5, 1.0))
    torch.testing.assert_close(model.merged_logits(inputs), expected, rtol=1e-4, atol=1e-5)
    (sample,) = model.predict(inputs, samples((0,), size=(24, 32)))
    assert sample.seg_logits.data.shape == (4, 24, 32)
    model.test_cfg = dict(model.test_cfg, crf=dict(iterations=1))
    posterior = model.predict(inputs, samples((0,), size=(24, 32)))[0].seg_logits.data
    torch.testing.assert_close(posterior.sum(0), torch.ones(24, 32))


def test_maps_are_the_propagated_ones_or_the_plain_ones():
    model = tiny_afa(test_cfg=dict(predict='cam')).eval()
    refined = model.predict(images(), samples((0,), (1, 2), ()))
    model.test_cfg = dict(predict='cam', maps='plain', background=1.0)
    plain = model.predict(images(), samples((0,), (1, 2), ()))
    cams, classes, _ = model.make_cams(images(), multi_hot((0,), (1, 2), ()), None)
    for i, (one, other) in enumerate(zip(plain, refined, strict=True)):
        torch.testing.assert_close(one.pred_cam.cam, cams[i, classes[i] >= 0])
        assert not one.pred_sem_seg.data.any()
        assert one.pred_cam.cam.shape == other.pred_cam.cam.shape
    assert not torch.equal(plain[0].pred_cam.cam, refined[0].pred_cam.cam)


def test_wrong_test_settings():
    with pytest.raises(ValueError, match=r"flip .*are for predict='seg'"):
        tiny_afa(test_cfg=dict(predict='cam', flip=True))
    with pytest.raises(ValueError, match='background must be a number in'):
        tiny_afa(test_cfg=dict(background=45))


def test_wrong_settings():
    with pytest.raises(ValueError, match=r'cam_scales must contain 1\.0'):
        tiny_afa(cam_scales=(0.5, 1.5))
    with pytest.raises(ValueError, match='loss_schedule has loss_aff, but'):
        tiny_afa(loss_schedule=dict(loss_aff=[(5, 0.1)]))
    with pytest.raises(ValueError, match="needs resize='masks'"):
        tiny_afa(par=dict(type='mmwsss.PAR'))
    model = tiny_afa()
    model.decode_head.loss_decode.loss_name = 'loss_bce'
    with pytest.raises(ValueError, match='cannot know loss_bce'):
        model.loss(images(), samples((0,), (1,), (2,)))
    with pytest.raises(ValueError, match='3 foreground classes, the model 2'):
        model.cam_head.num_classes = 2
        model.loss(images(), samples((0,), (1,), (2,)))
    head = dict(type='mmwsss.CAMHead', in_channels=32, num_classes=4)
    with pytest.raises(ValueError, match='one more'):
        tiny_afa(cam_head=head)


def test_affinity_head():
    head = AttentionAffinityHead(in_channels=6)
    attn = [AttentionLogits(torch.randn(2, h, 5, 3), torch.randn(2, h, 5, 3)) for h in (2, 4)]
    both = torch.cat([logits.dense() for logits in attn], dim=1)
    expected = head.proj(both + both.transpose(2, 3))[:, 0].sigmoid()
    torch.testing.assert_close(head(attn), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r'set it to 4'):
        head(attn[1:])


def test_mlp_head_equals_concatenation():
    head = SegformerMLPHead(
        in_channels=[4, 6],
        in_index=[0, 1],
        channels=5,
        num_classes=3,
        norm_cfg=dict(type='BN'),
        dropout_ratio=0.0,
        align_corners=False,
    )
    maps = torch.randn(2, 4, 7, 9), torch.randn(2, 6, 4, 5)
    levels = [conv(x) for conv, x in zip(head.convs, maps, strict=True)]
    up = [F.interpolate(x, size=(7, 9), mode='bilinear') for x in levels]
    expected = head.conv_seg(head.fusion_conv(torch.cat(up, dim=1)))
    torch.testing.assert_close(head(maps), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['afa_voc', 'afa_coco'])
def test_parameter_groups_of_the_recipe(name):
    """Heads at ten times the rate of the encoder, LayerNorms not at all."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / f'wsss/{name}.py')
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    rate = {id(p): group['lr'] for group in groups for p in group['params']}
    assert {group['weight_decay'] for group in groups} == {0.01}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            expected = 6e-5 if key.startswith('backbone.') else 6e-4
            assert rate[id(parameter)] == pytest.approx(expected), key
    norms = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert norms and not any(p.requires_grad for m in norms for p in m.parameters())


@pytest.mark.parametrize('refined_start', [0, 10])
def test_mixed_precision_step_is_finite(at, refined_start):
    energy = dict(type='mmwsss.DenseEnergyLoss')
    model = tiny_afa(refined_start=refined_start, loss_energy=energy).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(images(), samples((0,), (1, 2), ()))
    total(losses).backward()
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
