"""1-Stage: decoder, phases, pseudo labels, prediction."""

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

from mmwsss.models import OneStage, OneStageHead, VGG16d
from mmwsss.models.backbones.resnet38d import ResNet38d
from mmwsss.models.layers import FixedNormASPP, GlobalCueInjection
from mmwsss.models.segmentors.one_stage_supervised import OneStageSupervised
from mmwsss.ops.pixel_adaptive import pamr
from mmwsss.ops.pseudo_label.relative import relative_label
from mmwsss.testing import labelled_samples, noise

SIZE = (40, 56)
NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.4, 57.1, 57.4])


def segmentor(kind: type = OneStage, **changes) -> OneStage:
    torch.manual_seed(0)
    init_default_scope('mmseg')
    config = dict(
        backbone=dict(type='mmwsss.ResNet38d', base_channels=1, out_indices=(4, 3)),
        decode_head=dict(
            type='mmwsss.OneStageHead',
            in_channels=(4, 64),
            num_classes=3,
            channels=16,
            skip_channels=4,
            dilations=(1, 2),
        ),
        refiner=dict(type='mmwsss.PAMR', dilations=(1, 2), iterations=3),
        mask_loss_start=100,
        data_preprocessor=dict(type='SegDataPreProcessor', **NORM),
    )
    model = kind(**{**config, **changes})
    model.init_weights()
    model.decode_head.last[-1].weight.data *= 8  # masks with edges
    return model


def pictures(number: int = 2) -> torch.Tensor:
    return noise(number, SIZE, **NORM)


def test_the_bound_weighs_its_losses():
    label = torch.randint(0, 3, (2, 1, *SIZE), generator=torch.Generator().manual_seed(0))
    samples = labelled_samples((0,), (1,))
    for one, mask in zip(samples, label, strict=True):
        one.gt_sem_seg = PixelData(data=mask)
    losses = [
        segmentor(kind=OneStageSupervised, **options).loss(pictures(), samples)['loss_mask']
        for options in ({}, dict(loss_schedule=dict(loss_mask=[(0, 0.5)])))
    ]
    torch.testing.assert_close(losses[1], 0.5 * losses[0])


def test_taps_of_the_backbones():
    shallow, deep = ResNet38d(base_channels=1, out_indices=(4, 3)).eval()(pictures(1))
    assert shallow.shape == (1, 4, 10, 14) and deep.shape == (1, 64, 5, 7)
    assert shallow.min() < 0  # before the activation
    network = VGG16d(out_indices=(3, 2), frozen_stages=1).eval()
    shallow, deep = network(pictures(1))
    assert shallow.shape == (1, 256, 10, 14) and deep.shape == (1, 1024, 5, 7)
    assert shallow.min() == 0
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {f'conv1_{i}.{leaf}' for i in (1, 2) for leaf in ('weight', 'bias')}


def test_tap_before_the_activation_is_the_input_of_the_next_block():
    network = ResNet38d(base_channels=1, out_indices=(0, 4)).eval()
    activated, raw = network(pictures(1))
    torch.testing.assert_close(network.b4.bn_branch2a(raw).relu(), activated)


def test_norms_of_the_aspp_never_leave_their_statistics():
    aspp = FixedNormASPP(4, 6, (1, 2), dropout=0).train()
    before = {k: v.clone() for k, v in aspp.state_dict().items()}
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(aspp(x), aspp.eval()(x))
    for key, value in aspp.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(p.requires_grad for p in aspp.parameters())


def test_image_branch_is_the_mean_everywhere():
    aspp = FixedNormASPP(4, 6, ()).eval()
    x = torch.randn(1, 4, 5, 7)
    expected = aspp.image_branch(F.adaptive_avg_pool2d(x, 1)).expand(1, 6, 5, 7)
    seen = []
    aspp.project.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    aspp(x)
    torch.testing.assert_close(seen[0][:, 6:], expected)


def test_cue_is_the_largest_value_in_the_image():
    module = GlobalCueInjection(3, 4).eval()
    shallow, deep = torch.randn(1, 3, 5, 7), torch.randn(1, 4, 5, 7)
    order = torch.randperm(35)
    shuffled = deep.flatten(2)[..., order].view_as(deep)
    torch.testing.assert_close(module(shallow, deep), module(shallow, shuffled))


def test_background_logit_is_one():
    model = segmentor().eval()
    logits = model(pictures())
    assert logits.shape == (2, 4, 10, 14)
    assert (logits[:, 0] == 1).all()


def test_gate_is_random_in_training_only():
    head = segmentor(
        decode_head=dict(
            type='mmwsss.OneStageHead',
            in_channels=(4, 64),
            num_classes=3,
            channels=16,
            dropout=(0, 0, 0),
        )
    ).decode_head.train()
    features = (torch.randn(2, 4, 8, 8), torch.randn(2, 64, 4, 4))
    assert not torch.equal(head(features), head(features))
    keep = torch.rand(2, 16, 8, 8) < 0.7
    torch.testing.assert_close(head(features, keep), head(features, keep))
    head.eval()
    torch.testing.assert_close(head(features), head(features, keep))


def test_initial_weights():
    head = OneStageHead((64, 512), 20, dilations=())
    std = head.merge[0].weight.std().item()
    assert std == pytest.approx((2 / (304 * 9)) ** 0.5, rel=0.02)
    assert 0 < head.last[-1].bias.abs().max() <= 256**-0.5


def test_bad_arguments():
    with pytest.raises(ValueError, match='in_channels'):
        OneStageHead(64, 3)
    with pytest.raises(ValueError, match='gate_rate'):
        OneStageHead((4, 4), 3, gate_rate=1)
    with pytest.raises(ValueError, match="did you mean 'cam'"):
        segmentor(test_cfg=dict(predict='cams'))
    with pytest.raises(ValueError, match='mean and std'):
        segmentor(data_preprocessor=dict(type='SegDataPreProcessor'))


def test_masks_are_learnt_from_an_iteration_on(at):
    model = segmentor(mask_loss_start=7).train()
    at(6)
    with patch.object(model, 'make_pseudo_label', side_effect=AssertionError('not needed yet')):
        losses = model.loss(pictures(), labelled_samples((0,), (1, 2)))
    assert set(losses) == {'loss_cls', 'mask_size'}
    at(7)
    losses = model.loss(pictures(), labelled_samples((0,), (1, 2)))
    assert set(losses) == {'loss_cls', 'loss_mask', 'mask_size', 'mask_images'}


def test_every_parameter_learns(at):
    model = segmentor(mask_loss_start=0).train()
    losses = model.loss(pictures(), labelled_samples((0,), (1, 2)))
    total, _ = model.parse_losses(losses)
    total.backward()
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    assert all(model.get_parameter(n).grad is not None for n in learning)
    assert not any(n.startswith(('backbone.b2', 'backbone.conv1a')) for n in learning)


@pytest.mark.parametrize('labels', [((),), ((1,),), ((), (0, 1, 2)), ((), ())])
@pytest.mark.parametrize('background', [0.7, 2.0], ids=['usual', 'no confident background'])
def test_any_number_of_classes(labels, background):
    model = segmentor(mask_loss_start=0).train()
    model.thresholds = (*model.thresholds[:2], background)
    inputs = pictures(len(labels))
    losses = model.loss(inputs, labelled_samples(*labels))
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_no_confident_pixel():
    model = segmentor(mask_loss_start=0, label_low=1.0).train()
    losses = model.loss(pictures(), labelled_samples((0,), (1, 2)))
    assert losses['loss_mask'] == losses['mask_images'] == 0
    model.parse_losses(losses)[0].backward()


def test_a_flat_image():
    """Constant colours have no standard deviation."""
    model = segmentor(mask_loss_start=0).train()
    losses = model.loss(torch.zeros(1, 3, *SIZE), labelled_samples((0,)))
    assert all(torch.isfinite(value) for value in losses.values())


def test_refining_only_the_classes_of_an_image_changes_nothing():
    model = segmentor().eval()
    inputs, image_labels = pictures(), torch.tensor([[0.0, 1, 0], [1, 0, 1]])
    masks = model(inputs).softmax(1).detach()
    label = model.make_pseudo_label(inputs, masks, image_labels)
    mean, std = (torch.tensor(NORM[key]).view(3, 1, 1) for key in ('mean', 'std'))
    refined = pamr((inputs * std + mean) / 255, masks, (1, 2), 3)
    refined = F.interpolate(refined, size=SIZE, mode='bilinear', align_corners=True)
    refined[:, 1:] *= image_labels[:, :, None, None]
    expected = relative_label(refined, torch.arange(3).expand(2, 3))
    assert torch.equal(label, expected)
    assert (label != 255).any()


def test_pseudo_labels_hold_the_classes_of_the_image_labels_only():
    model = segmentor(label_foreground=0.1, label_low=0.0).eval()
    inputs = pictures()
    masks = model(inputs).softmax(1).detach()
    label = model.make_pseudo_label(inputs, masks, torch.tensor([[0.0, 1, 0], [0, 0, 0]]))
    assert set(label[0].unique().tolist()) <= {0, 2, 255}
    assert set(label[1].unique().tolist()) <= {0, 255}


def test_missing_image_labels():
    with pytest.raises(ValueError, match='without image labels'):
        data_samples = labelled_samples((0,))
        del data_samples[0].gt_image_labels
        segmentor().loss(pictures(1), data_samples)


VIEWS = dict(scales=(1.0, 0.5), flip=True, pad='fixed', canvas=64)


@torch.no_grad()
def test_seg_mode_never_looks_at_image_labels():
    model = segmentor(test_cfg=dict(VIEWS, score_threshold=0.01)).eval()
    with_labels = model.predict(pictures(), labelled_samples((0,), (1,)))
    without = model.predict(pictures())
    for a, b in zip(with_labels, without, strict=True):
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
        assert 'pred_cam' not in a
    model.test_cfg = dict(model.test_cfg, with_cam=True)
    pictured = model.predict(pictures(), labelled_samples((0,), (1, 2)))
    for a, b, labels in zip(pictured, without, ([0], [1, 2]), strict=True):
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
        assert a.pred_cam.labels.tolist() == labels
        assert a.pred_cam.cam.shape == (len(labels), *SIZE)
        assert set(a.pred_pseudo_mask.data.unique().tolist()) <= {0, *(k + 1 for k in labels)}
    assert 'pred_cam' not in model.predict(pictures())[0]


@torch.no_grad()
def test_classes_are_those_above_the_threshold():
    model = segmentor(test_cfg=dict(background_power=1.0)).eval()
    scores, masks = model.score_and_segment(pictures(1))
    probability = scores[0].sigmoid()
    threshold = probability.median().item()
    model.test_cfg = dict(model.test_cfg, score_threshold=threshold)
    found = model.predict(pictures(1))[0]
    present = F.pad((probability > probability.median()).float(), (1, 0), value=1)
    assert present.sum() == 2
    merged = masks[0] * present[:, None, None]
    torch.testing.assert_close(found.seg_logits.data, merged)
    assert torch.equal(found.pred_sem_seg.data[0], merged.argmax(0))


@torch.no_grad()
def test_cam_mode():
    model = segmentor(test_cfg=dict(VIEWS, predict='cam')).eval()
    found = model.predict(pictures(), labelled_samples((2, 0), ()))
    cam = found[0].pred_cam
    assert cam.labels.tolist() == [0, 2] and cam.cam.shape == (2, *SIZE)
    assert cam.cam.min() >= 0 and cam.cam.max() <= 1
    assert set(found[0].pred_sem_seg.data.unique().tolist()) <= {0, 1, 3}
    assert found[1].pred_cam.cam.shape == (0, *SIZE)
    assert (found[1].pred_sem_seg.data == 0).all()
    with pytest.raises(ValueError, match='without image labels'):
        model.predict(pictures())


@torch.no_grad()
def test_result_does_not_depend_on_the_batches():
    model = segmentor(test_cfg=VIEWS).eval()
    whole = model.predict(pictures())
    model.test_cfg = dict(model.test_cfg, views_per_batch=1)
    for i, sample in enumerate(whole):
        alone = model.predict(pictures()[i : i + 1])[0]
        torch.testing.assert_close(
            alone.seg_logits.data, sample.seg_logits.data, atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_crf():
    model = segmentor(test_cfg=dict(crf=dict(preset='psa'), score_threshold=0.0)).eval()
    found = model.predict(pictures(1), labelled_samples((0, 1, 2)))[0]
    total = found.seg_logits.data.sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)
    assert torch.equal(found.pred_sem_seg.data[0], found.seg_logits.data.argmax(0))
    model.test_cfg = dict(predict='cam', crf=dict(preset='psa'))
    clean = model.predict(pictures(1), labelled_samples((0, 1, 2)))[0]
    assert torch.equal(found.pred_sem_seg.data, clean.pred_sem_seg.data)
    model.test_cfg = dict(predict='cam')
    plain = model.predict(pictures(1), labelled_samples((0, 1, 2)))[0]
    torch.testing.assert_close(plain.pred_cam.cam, clean.pred_cam.cam)


@torch.no_grad()
def test_original_size():
    data_samples = labelled_samples((0,), size=(30, 42))
    found = segmentor(test_cfg=dict(predict='cam')).eval().predict(pictures(1), data_samples)[0]
    assert found.pred_cam.cam.shape[1:] == found.pred_sem_seg.data.shape[1:] == (30, 42)


def test_mixed_precision_step_is_finite(at):
    model = segmentor(mask_loss_start=0).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(pictures(), labelled_samples((0,), (1, 2)))
    model.parse_losses(losses)[0].backward()
    assert losses['mask_images'] > 0
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
