"""The recipes of 1-Stage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsss.ops.multi_view.canvas import canvas_views
from mmwsss.registry import MODELS
from mmwsss.stages.predict import enable_tta_and_crf, set_prediction
from mmwsss.utils.seed import seed_everything

ROOT = Path(__file__).parents[2] / 'configs/wsss'
EPOCH = 10582 // 16  # incomplete batches are dropped
# config: rate, epochs, crop, lr_mults, tensors in the four groups and frozen ones
RECIPES = {
    'one_stage_voc': (1e-3, 25, 321, (1, 2, 10, 20), (35, 0, 26, 13), 82),
    'one_stage_voc_r50': (5e-4, 21, 448, (1, 1, 10, 10), (52, 0, 26, 13), 107),
    'one_stage_voc_r101': (1e-3, 21, 448, (1, 1, 10, 10), None, None),
    'one_stage_voc_vgg16': (1e-3, 33, 448, (1, 2, 10, 20), (13, 13, 26, 13), 4),
    'one_stage_baseline_voc': (1e-3, 7, 321, (1, 2, 10, 20), (35, 0, 1, 0), 82),
    'one_stage_baseline_voc_r50': (5e-4, 7, 448, (1, 1, 10, 10), (52, 0, 1, 0), 107),
    'one_stage_baseline_voc_r101': (1e-3, 7, 448, (1, 1, 10, 10), (103, 0, 1, 0), 209),
    'one_stage_baseline_voc_vgg16': (1e-3, 7, 448, (1, 2, 10, 20), (13, 13, 1, 0), 4),
}
BASELINES = [name for name in RECIPES if 'baseline' in name]
# scales, canvas, score threshold, background power
TESTS = {
    'one_stage_voc': ([1.0, 0.5, 1.5, 2.0], 1024, 0.1, 3.0),
    'one_stage_voc_r50': ([1.0, 0.75, 1.25, 1.5], 768, 0.3, 3.0),
    'one_stage_voc_r101': ([1.0, 0.75, 1.25, 1.5], 768, 0.3, 3.0),
    'one_stage_voc_vgg16': ([1.0, 0.75, 1.25, 1.5], 768, 0.3, 1.0),
    'one_stage_coco': ([1.0, 0.75, 1.25, 1.5], 960, 0.3, 3.0),
}
MASKS = {'one_stage_voc': 'train_aug', 'one_stage_coco': 'train'}


def load(name):
    init_default_scope('mmseg')
    return Config.fromfile(ROOT / f'{name}.py')


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name):
    cfg = load(name)
    lr, epochs, crop, lr_mults, groups, frozen = RECIPES[name]
    assert cfg.train_cfg.max_iters == epochs * EPOCH
    assert cfg.get('param_scheduler') is None
    optimizer = dict(type='SGD', lr=lr, momentum=0.9, weight_decay=5e-4)
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 16
    norm = cfg.model.data_preprocessor
    assert (norm.mean, norm.std) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert norm.bgr_to_rgb and cfg.train_dataloader.dataset.pipeline[2].crop_size == crop
    if 'baseline' not in name:
        assert cfg.model.mask_loss_start == 5 * EPOCH
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = [group['lr'] / lr for group in wrapper.optimizer.param_groups]
    assert rates == pytest.approx(lr_mults)
    if groups is not None:
        assert tuple(len(g['params']) for g in wrapper.optimizer.param_groups) == groups
        assert sum(not p.requires_grad for p in model.parameters()) == frozen


@pytest.mark.parametrize(
    ('name', 'millions'), [('one_stage_voc', 138.0), ('one_stage_voc_r50', 41.2)]
)
def test_number_of_parameters(name, millions):
    with torch.device('meta'):
        model = MODELS.build(load(name).model)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize('name', TESTS)
def test_published_test(name):
    cfg = load(name)
    scales, canvas, threshold, power = TESTS[name]
    plain = cfg.model.test_cfg.to_dict()
    assert plain == dict(
        predict='seg', pad='none', score_threshold=threshold, background_power=power
    )
    enable_tta_and_crf(cfg, tta=True)
    views = dict(scales=scales, flip=True, pad='fixed', canvas=canvas)
    assert cfg.model.test_cfg.to_dict() == dict(plain, **views)


@pytest.mark.parametrize('name', BASELINES)
def test_a_baseline_has_the_network_and_the_views_of_its_method(name):
    cfg, method = load(name), load(name.replace('_baseline', ''))
    deep = method.model.backbone.pop('out_indices')[-1]
    assert list(cfg.model.backbone.pop('out_indices', [deep])) == [deep]
    assert cfg.model.backbone == method.model.backbone
    assert cfg.model.decode_head.in_channels == method.model.decode_head.in_channels[-1]
    assert cfg.tta_cfg == dict(scales=method.tta_cfg.scales, flip=True)
    settings = dict(predict='seg', resize='pil_cubic', merge='psa', background=0.1)
    assert cfg.model.test_cfg == settings


@pytest.mark.parametrize('name', MASKS)
def test_masks_are_made_as_in_the_published_test_but_with_image_labels(name):
    cfg, tested = load(name), load(name)
    enable_tta_and_crf(tested, tta=True)
    set_prediction(cfg, dict(masks='masks'), MASKS[name], tta=True)
    assert cfg.model.test_cfg.to_dict() == dict(tested.model.test_cfg.to_dict(), predict='cam')
    assert cfg.test_dataloader.dataset.split == cfg.train_dataloader.dataset.split


@pytest.mark.parametrize(('name', 'largest'), [('one_stage_voc', 500), ('one_stage_voc_r50', 500),
                                               ('one_stage_coco', 640)])  # fmt: skip
def test_the_largest_images_fit_on_the_canvas(name, largest):
    tta = load(name).tta_cfg
    mean, std = torch.zeros(3), torch.ones(3)
    shape = (1, 3, largest, 4)
    largest_scale = max(tta.scales)
    view = next(
        canvas_views(torch.zeros(shape), [largest_scale], False, mean, std, 'fixed', tta.canvas)
    )
    assert view.inputs.shape[-2:] == (tta.canvas, tta.canvas)


@pytest.mark.parametrize('name', [*RECIPES, 'one_stage_coco'])
def test_training_pipeline(name):
    cfg = load(name)
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert [t.type.removeprefix('mmwsss.') for t in pipeline] == [
        'LoadImageFromFile',
        'LoadImageLabels',
        'RandomResizedCropPIL',
        'RandomFlip',
        'ColorJitter',
        'PackWSSSInputs',
    ]
    crop = pipeline[2].crop_size
    assert pipeline[2].fallback == 'square'
    seed_everything(0)
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    result = Compose(pipeline[2:])(dict(img=image, gt_image_labels=np.ones(20, np.float32)))
    assert result['inputs'].shape == (3, crop, crop)
    assert result['data_samples'].gt_image_labels.label.shape == (20,)


def test_checkpoints():
    hook = load('one_stage_voc').default_hooks.checkpoint
    assert hook.save_best == 'mIoU' and hook.rule == 'greater'
