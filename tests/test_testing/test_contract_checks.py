"""The checks of the contract find the method that breaks it."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.nn.functional as F
from mmengine.config import Config
from torch import nn

from mmwsss.models import TestSettings, WSSSSegmentor
from mmwsss.ops.pairs import pack_present
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels
from mmwsss.testing import (
    CHECKS,
    ContractError,
    Method,
    check_contract,
    labelled_samples,
    smooth_pixels,
)

NORM = dict(type='mmseg.SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3, size_divisor=1)
DATA = Path(__file__).parents[2] / 'configs/_base_/datasets/mini.py'


@MODELS.register_module()
class Honest(WSSSSegmentor):
    """A 1x1 convolution gives logits and, squashed, maps."""

    num_foreground = 3

    def __init__(self, num_foreground=3, test_cfg=None):
        super().__init__({}, test_cfg=test_cfg, data_preprocessor=NORM)
        self.num_foreground = num_foreground
        self.score = nn.Conv2d(3, 1 + num_foreground, 1)

    def encode_decode(self, inputs, batch_data_samples=None):
        return self.score(inputs)

    def predict_maps(self, inputs, image_labels):
        return Maps(*pack_present(self.score(inputs)[:, 1:].sigmoid(), image_labels))

    def loss(self, inputs, data_samples):
        logits = self.score(inputs).mean((2, 3))[:, 1:]
        hot = stack_image_labels(data_samples, self.num_foreground)
        return dict(loss_cls=F.multilabel_soft_margin_loss(logits, hot))


@MODELS.register_module()
class NoNumbers(Honest):
    def loss(self, inputs, data_samples):
        return {
            key: value * float('nan') for key, value in super().loss(inputs, data_samples).items()
        }


@MODELS.register_module()
class LearnsNothing(Honest):
    def loss(self, inputs, data_samples):
        return dict(loss_cls=super().loss(inputs, data_samples)['loss_cls'] * 0)


@MODELS.register_module()
class NamelessLoss(Honest):
    def loss(self, inputs, data_samples):
        return dict(cls=super().loss(inputs, data_samples)['loss_cls'])


@MODELS.register_module()
class Peeks(Honest):
    def predict(self, inputs, data_samples=None):
        for sample in super().predict(inputs, data_samples):
            if 'gt_image_labels' in sample:
                sample.pred_sem_seg.data += sample.gt_image_labels.label.sum().long()
        return data_samples


@MODELS.register_module()
class LargeMaps(Honest):
    def predict_maps(self, inputs, image_labels):
        maps = super().predict_maps(inputs, image_labels)
        return maps._replace(cams=maps.cams * 9)


@MODELS.register_module()
class OtherClasses(Honest):
    def predict_maps(self, inputs, image_labels):
        return super().predict_maps(inputs, 1 - image_labels)


@MODELS.register_module()
class SizeOfTheInput(Honest):
    def set_maps(self, sample, cams, classes, label, size):
        super().set_maps(sample, cams, classes, label, size)
        sample.pred_cam.cam = upsample(cams, size)


@MODELS.register_module()
class MasksAtTheInputSize(Honest):
    def set_maps(self, sample, cams, classes, label, size):
        super().set_maps(sample, cams, classes, label, size)
        sample.pred_pseudo_mask.data = upsample(sample.pred_pseudo_mask.data.float(), size)


@MODELS.register_module()
class NoPictures(Honest):
    def add_maps(self, inputs, data_samples):
        if self.settings.predict == 'cam':
            super().add_maps(inputs, data_samples)
        else:
            for sample in data_samples:
                sample.pred_cam = SimpleNamespace(cam=sample.seg_logits.data)


class AnyKey(TestSettings):
    @classmethod
    def parse(cls, given, owner):
        known = cls.keys()
        return cls(**{key: value for key, value in given.items() if key in known})


@MODELS.register_module()
class TakesAnyKey(Honest):
    settings_type = AnyKey


@MODELS.register_module()
class FirstImageCounts(Honest):
    def predict(self, inputs, data_samples=None):
        for sample in super().predict(inputs, data_samples)[1:]:
            sample.pred_sem_seg.data = (sample.pred_sem_seg.data + 1) % 4
        return data_samples


def method(name: str) -> Method:
    sizes = ((24, 32), (20, 28))
    images = [smooth_pixels(*size, seed) for seed, size in enumerate(sizes)]
    data = []
    for image, size in zip(images, sizes, strict=True):
        sample = labelled_samples((0, 2), size=size)[0]
        data.append(dict(inputs=image, data_samples=sample))
    cfg = Config(dict(model=dict(type=f'mmwsss.{name}'), train_cfg=dict(max_iters=2)))
    same_size = [dict(one, inputs=images[0]) for one in data]
    return Method(cfg, MODELS.build(cfg.model), same_size, Fresh(data))


class Fresh(list):
    """Samples that are loaded anew each time."""

    def __getitem__(self, index):
        return copy.deepcopy(super().__getitem__(index))


def failures(name: str) -> dict[str, str]:
    """Names of the checks that a segmentor fails, and what they say."""
    found, tried = {}, method(name)
    for check in CHECKS:
        try:
            check(tried)
        except ContractError as error:
            found[check.__name__] = str(error)
    return found


def test_an_honest_method_passes():
    assert failures('Honest') == {}


@pytest.mark.parametrize(
    ('name', 'check', 'message'),
    [
        ('NoNumbers', 'trains', 'NoNumbers in iteration 0: not finite'),
        ('LearnsNothing', 'trains', 'all gradients are zero'),
        ('NamelessLoss', 'trains', 'no loss_* in'),
        ('NoNumbers', 'trains_in_mixed_precision', 'NoNumbers in iteration 1: not finite'),
        ('Peeks', 'seg_never_looks_at_image_labels', 'depends on the image labels'),
        ('LargeMaps', 'cam_fills_maps_and_pseudo_masks', 'not in [0, 1]'),
        ('OtherClasses', 'cam_fills_maps_and_pseudo_masks', 'not of the classes [0, 2]'),
        ('SizeOfTheInput', 'cam_fills_maps_and_pseudo_masks', 'ori_shape is (36, 48)'),
        ('MasksAtTheInputSize', 'cam_fills_maps_and_pseudo_masks', 'is no label map'),
        ('NoPictures', 'pictures_get_maps_beside_the_segmentation', 'there is no pred_pseudo_mask'),
        ('TakesAnyKey', 'refuses_a_wrong_test_cfg', "test_cfg={'predcit': 'cam'} is accepted"),
        ('FirstImageCounts', 'an_image_is_predicted_alike_alone_and_in_a_batch', 'depend on the'),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named(name, check, message):
    assert message in failures(name)[check]


def test_a_model_of_another_package():
    tried = method('Honest')
    tried.model = nn.Identity()
    with pytest.raises(ContractError, match='Identity is no WSSSSegmentor'):
        CHECKS[0](tried)


def test_images_of_one_size_cannot_be_checked():
    tried = method('Honest')
    tried.test = tried.train
    with pytest.raises(ValueError, match='the images of test_dataloader have one size'):
        tried.batch()


@pytest.mark.parametrize('name', ['Honest', 'Peeks'])
def test_a_config_of_the_mini_data_set(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'own_mini.py'
    config.write_text(
        f'_base_ = {str(DATA)!r}\ntrain_cfg = dict(max_iters=2)\n'
        f"model = dict(type='mmwsss.{name}', num_foreground=10)\n"
    )
    if name == 'Honest':
        check_contract(config)
    else:
        with pytest.raises(ContractError, match='depends on the image labels'):
            check_contract(config)
    assert list(tmp_path.iterdir()) == [config]
