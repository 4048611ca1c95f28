"""Optimizer, schedule, augmentation, stages and retraining of TransCAM's and AVC's configs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.registry import MODELS, TASK_UTILS, TRANSFORMS
from mmwsss.stores.cam_store import save_cam

ROOT = Path(__file__).parents[2] / 'configs'
# iterations, iterations an epoch, first iteration of the terms of regions
RECIPES = {
    'transcam_voc_cam': (26440, 1322, None),
    'avc_voc_cam': (26440, 1322, 2 * 1322),
    'avc_coco_cam': (51300, 10260, 5130),
}


def load(name, folder='wsss'):
    init_default_scope('mmseg')
    return Config.fromfile(ROOT / folder / f'{name}.py')


@pytest.mark.parametrize('name', RECIPES)
def test_one_constant_rate_and_decay_for_all(name):
    cfg = load(name)
    assert cfg.get('param_scheduler') is None
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    settings = {(g['lr'], g['weight_decay'], g['eps']) for g in optimizer.param_groups}
    assert settings == {(5e-5, 5e-4, 1e-8)}
    count = sum(len(group['params']) for group in optimizer.param_groups)
    assert count == len(list(model.parameters()))


@pytest.mark.parametrize('name', RECIPES)
def test_length_and_start(name):
    cfg = load(name)
    iterations, epoch, start = RECIPES[name]
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 8
    assert cfg.train_cfg.max_iters == cfg.train_cfg.val_interval == iterations
    assert iterations % epoch == 0
    consistency = MODELS.build(cfg.model.consistency) if start else cfg.model.get('consistency')
    if start is None:
        assert consistency is None
    else:
        assert consistency.region_start == start == round(0.1 * iterations)
        assert consistency.use == dict(view=True, pos=True, neg=True)
        assert consistency.weights == dict(view=1.0, pos=0.2, neg=0.2)
        assert (consistency.foreground, consistency.background) == (0.6, 0.25)
        assert consistency.last_layers is None and consistency.view_mode == 'cosine'


@pytest.mark.parametrize('name', RECIPES)
def test_augmentation(name):
    pipeline = load(name).train_dataloader.dataset.pipeline
    kinds = [step.type.removeprefix('mmwsss.') for step in pipeline]
    assert kinds[2:6] == ['RandomResizeLong', 'RandomFlip', 'ColorJitter', 'RandomPadCrop']
    assert pipeline[2].long_range == (320, 640)
    assert TRANSFORMS.build(pipeline[5]).crop_size == (512, 512)
    preprocessor = load(name).model.data_preprocessor
    assert tuple(pipeline[5].pad_val[::-1]) == tuple(preprocessor.mean)  # zero when normalised


def test_avc_is_transcam_with_a_loss():
    ours, base = (load(name).to_dict() for name in ('avc_voc_cam', 'transcam_voc_cam'))
    assert ours['model'].pop('consistency')['type'] == 'mmwsss.AffinityVectorLoss'
    for cfg in (ours, base):
        cfg.pop('test_evaluator')
    assert ours == base


@pytest.mark.parametrize('name', ['transcam_voc', 'avc_voc', 'avc_coco', 'transcam_mini'])
def test_two_label_maps(name):
    """Of the backgrounds 0.6 and 0.25, by a CRF of all classes of the data, present or not."""
    cfg = load(name, 'pipelines')
    task = TASK_UTILS.build(cfg.stages.crf.task)
    classes = dict(voc=21, coco=81, mini=11)[name.split('_')[1]]
    assert task.backgrounds == (0.6, 0.25) and task.num_labels == classes
    assert task.crf == dict(preset='irn')
    affinity = load(Path(cfg.stages.affinity.config).stem)
    assert affinity.model.test_cfg.label_crf == dict(preset='irn', num_labels=classes)
    assert affinity.model.test_cfg.background == 0.42
    kinds = [step.type for step in affinity.train_dataloader.dataset.pipeline]
    assert 'mmwsss.LoadTwoLabels' in kinds and 'mmwsss.LoadCRFScores' not in kinds


def test_affinity_net_begins_as_published():
    """TransCAM's from ImageNet's weights, AVC's from PSA's classifier."""
    transcam, avc = (load(f'{name}_voc_affinity') for name in ('transcam', 'avc'))
    assert 'prefix' not in transcam.model.backbone.init_cfg
    assert avc.model.backbone.init_cfg.checkpoint == 'pretrained/res38_cls.pth'
    for cfg in (transcam, avc):
        assert cfg.train_cfg.max_iters == 8 * (10582 // 8)
        assert dict(cfg.model.test_cfg, label_crf=None) == dict(
            background=0.42, beta=14, logt=7, label_crf=None
        )


def test_retraining_of_avc():
    cfg = load('deeplabv1_resnet38_avc_voc', 'segmentation')
    assert cfg.train_dataloader.batch_size == 5 and cfg.train_cfg.max_iters == 45000
    assert cfg.tta_cfg == dict(scales=[0.5, 0.75, 1.0, 1.25, 1.5], flip=True)
    assert load('avc_voc', 'pipelines').stages.val_crf.crf == 'avc'
    assert load('transcam_voc', 'pipelines').stages.val_crf.crf == 'deeplabv1'


@pytest.mark.parametrize('split', ['train', 'test'])
def test_stores_of_another_class_list_are_refused(split, tmp_path):
    """Class 12 of VOC is none of the ten of mini."""
    image, store = tmp_path / 'a.png', tmp_path / 'a.npz'
    Image.fromarray(np.zeros((20, 28, 3), np.uint8)).save(image)
    if split == 'train':
        label = np.zeros((20, 28), np.uint8)
        np.savez(store, labels=np.int16([12]), low=label, high=label)
    else:
        save_cam(store, np.array([12]), np.zeros((1, 20, 28)), (20, 28))
    cfg = load('transcam_mini_affinity')
    pipeline = Compose(cfg[f'{split}_dataloader'].dataset.pipeline)
    paths = dict(img_path=str(image), score_path=str(store), cam_path=str(store))
    with pytest.raises(ValueError, match=r'a\.npz.*12'):
        pipeline(dict(paths, image_labels=np.array([3]), num_foreground=10, seg_fields=[]))
