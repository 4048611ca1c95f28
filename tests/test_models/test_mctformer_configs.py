"""Optimizer, learning rate and augmentation of MCTformer's configs."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsss.registry import MODELS, PARAM_SCHEDULERS, TRANSFORMS

ROOT = Path(__file__).parents[2] / 'configs/wsss'
# epochs, iterations an epoch, batch size, side
RECIPES = {
    'mctformer_voc_cam': (60, 165, 64, 224),
    'mctformer-v1_voc_cam': (60, 165, 64, 224),
    'mctformer-plus_voc_cam': (45, 330, 32, 448),
    'mctformer_coco_cam': (60, 1293, 64, 224),
}


def load(name):
    init_default_scope('mmseg')
    return Config.fromfile(ROOT / f'{name}.py')


@pytest.mark.parametrize('name', RECIPES)
def test_what_is_decayed(name):
    cfg = load(name)
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            decays[names[id(parameter)]] = group['weight_decay']
    assert set(decays) == set(names.values())
    free = {'backbone.cls_token', 'backbone.pos_embed'}
    for key, parameter in model.named_parameters():
        assert decays[key] == (0.0 if parameter.ndim == 1 or key in free else 0.05), key
    if 'plus' in name:
        assert decays['backbone.pos_embed_cls'] == decays['backbone.pos_embed_pat'] == 0.05


@pytest.mark.parametrize('name', RECIPES)
def test_rate_of_every_epoch(name):
    epochs, per_epoch, batch, _ = RECIPES[name]
    cfg = load(name)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_iters == epochs * per_epoch
    rate = 5e-4 * batch / 512
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=rate)
    (settings,) = cfg.param_scheduler
    schedule = PARAM_SCHEDULERS.build(
        settings, default_args=dict(optimizer=optimizer, end=cfg.train_cfg.max_iters)
    )

    def curve(epoch):
        if epoch < 5:
            return 1e-6 + epoch * (rate - 1e-6) / 5
        return 1e-5 + 0.5 * (rate - 1e-5) * (1 + math.cos(math.pi * epoch / epochs))

    for iteration in range(epochs * per_epoch):
        expected = curve(max(0, iteration // per_epoch - 1))
        assert optimizer.param_groups[0]['lr'] == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize('name', RECIPES)
def test_augmentation(name):
    side = RECIPES[name][3]
    pipeline = load(name).train_dataloader.dataset.pipeline
    kinds = [step.type.removeprefix('mmwsss.') for step in pipeline]
    assert kinds[2:6] == ['RandomResizedCropPIL', 'RandomFlip', 'RandAugment', 'RandomErasingNoise']
    crop = TRANSFORMS.build(pipeline[2])
    assert (crop.crop_size, crop.scale, crop.fallback) == ((side, side), (0.08, 1.0), 'whole')
    assert crop.ratio == (3 / 4, 4 / 3)
    assert load(name).model.backbone.img_size == side
    assert TRANSFORMS.build(pipeline[4]).config == 'rand-m9-mstd0.5-inc1'
    assert TRANSFORMS.build(pipeline[5]).prob == 0.25


def test_affinity_net_starts_from_the_classifier_and_walks_as_published():
    cfg = load('mctformer_voc_affinity')
    assert cfg.model.test_cfg == dict(background=0.39, beta=8, logt=6)
    assert cfg.model.backbone.init_cfg.prefix == 'backbone.'
    assert cfg.train_cfg.max_iters == 5 * (10582 // 8)
