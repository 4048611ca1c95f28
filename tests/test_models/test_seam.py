"""SEAM as a segmentor: maps of views and of crops."""

import pytest
import torch

from mmwsss.models import SEAM
from mmwsss.ops.multi_crop import tile_boxes
from mmwsss.testing import labelled_samples, multi_hot, smooth_pixels


def method(**test_cfg) -> SEAM:
    torch.manual_seed(0)
    backbone = dict(type='mmwsss.ResNet38d', base_channels=2, out_indices=(1, 2, 3), b7_dilation=2)
    head = dict(type='mmwsss.PCMHead', in_channels=(16, 32, 128), num_classes=3, channels=(4, 6))
    norm = dict(type='mmseg.SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3)
    return SEAM(backbone, head, test_cfg=test_cfg, data_preprocessor=norm).eval()


def images(*seeds, size=(40, 56)) -> torch.Tensor:
    return (torch.stack([smooth_pixels(*size, seed) for seed in seeds]).float() - 120) / 60


def test_gradients_do_not_flow_from_refined_maps_to_the_backbone():
    model = method()
    _, refined = model.maps(images(0))
    refined.sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {f'decode_head.{name}.weight' for name in ('f8_3', 'f8_4', 'f9')}


def test_losses_of_a_step_and_of_an_image_without_labels():
    model = method().train()
    losses = model.loss(images(0, 1), labelled_samples((0, 2), ()))
    assert {'loss_cls', 'loss_er', 'loss_ecr', 'rvmin1', 'ecr2'} <= losses.keys()
    total, logged = model.parse_losses(losses)
    named = sum(losses[name] for name in ('loss_cls', 'loss_er', 'loss_ecr'))
    assert torch.isclose(total, named) and logged['cls1'] == losses['cls1']


def test_maps_are_those_of_the_classes_in_the_labels():
    model, batch = method(), images(0, 1)
    with torch.no_grad():
        maps = model.class_maps(batch, multi_hot((1,), (0, 2)))
    assert maps.shape == (2, 3, 40, 56)
    present = maps.flatten(2).any(-1)
    assert present.tolist() == [[False, True, False], [True, False, True]]
    with torch.no_grad():
        alone = model.class_maps(batch[:1], torch.ones(1, 3))
    assert torch.allclose(maps[0, 1], alone[0, 1], atol=1e-4)


@torch.no_grad()
def test_crops_in_batches_give_what_single_ones_give():
    scales = (0.75, 1.5)
    many = method(scales=scales, crop=32, stride=20, batch=6)
    one = method(scales=scales, crop=32, stride=20, batch=2)
    batch, labels = images(0, 1), multi_hot((2,), (0, 1))
    a, b = many.predict_maps(batch, labels), one.predict_maps(batch, labels)
    assert a.classes.tolist() == [[2, -1], [0, 1]]
    assert torch.allclose(a.cams, b.cams, atol=1e-4)
    assert a.cams.shape == (2, 2, 40, 56) and not a.cams[0, 1].any()
    assert a.cams.min() >= 0 and a.cams.max() <= 1


@torch.no_grad()
def test_crops_of_an_image_that_is_smaller_than_a_crop_and_of_one_without_labels():
    model, batch = method(scales=(1.0,), crop=64, stride=30), images(0, size=(20, 30))
    assert tile_boxes((20, 30), (1.0,), 64, 30)[0].tolist() == [[0, 20, 0, 30]]
    assert model.predict_maps(batch, multi_hot((1,))).cams.shape == (1, 1, 20, 30)
    nothing = model.predict_maps(batch, multi_hot(()))
    assert nothing.cams.shape == (1, 0, 20, 30) and nothing.classes.shape == (1, 0)


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(crop=32, stride=20, flip=False), 'leave flip=True'),
        (dict(crop=32, stride=40), 'stride'),
        (dict(crop=0), 'crop'),
        (dict(batch=1), 'batch'),
        (dict(maps='raw'), 'maps'),
    ],
)
def test_settings_that_cannot_work_are_refused(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        method(**test_cfg)


def test_constructor_refuses_values_out_of_range():
    from mmwsss.models import PCMHead

    with pytest.raises(ValueError, match='in_channels must be a list of length 3'):
        PCMHead((64, 128), 3)
    with pytest.raises(ValueError, match='dropout_ratio'):
        PCMHead(dropout_ratio=1.0)
    head = dict(type='mmwsss.PCMHead', in_channels=(16, 32, 128), num_classes=3)
    for wrong in (dict(view_scale=0), dict(keep=1.5)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SEAM(dict(type='mmwsss.ResNet38d', base_channels=2), head, **wrong)
