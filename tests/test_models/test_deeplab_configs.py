"""The retraining configs: what they train on, that they build, what their pipelines give."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.registry import MODELS

FOLDER = Path(__file__).parents[2] / 'configs/segmentation'
# the upper bounds, named *-full, train on true masks
CONFIGS = sorted(p for p in FOLDER.glob('*.py') if not p.stem.endswith('-full'))
BOUNDS = [p for p in CONFIGS if (FOLDER / f'{p.stem}-full.py').is_file()]
CLASSES = {'voc12': 21, 'coco14': 81, 'mini': 11}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_trains_on_pseudo_masks_only(path):
    dataset = Config.fromfile(path).train_dataloader.dataset
    assert dataset.mask_dir.startswith('work_dirs/')
    assert 'masks' not in dataset and 'data_prefix' not in dataset
    assert any(t.type == 'LoadAnnotations' for t in dataset.pipeline)


def the_crop(cfg):
    """Size of the only crop of the training pipeline, and whether it pads small images."""
    (crop,) = (t for t in cfg.train_dataloader.dataset.pipeline if 'Crop' in t.type)
    size = crop.crop_size
    return (size, size) if isinstance(size, int) else tuple(size), 'Pad' in crop.type


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_builds(path):
    init_default_scope('mmseg')
    cfg = Config.fromfile(path)
    clip = cfg.model.type == 'mmwsss.WeakCLIP'
    if clip and cfg.model.backbone.checkpoint == 'openai':
        cfg.model.backbone.checkpoint = 'random'
    with torch.device('cpu' if clip else 'meta'):
        model = MODELS.build(cfg.model)
    dataset = cfg.train_dataloader.dataset.type.removeprefix('mmwsss.').removesuffix('Dataset')
    classes = len(model.class_ids) if clip else model.decode_head.num_classes
    assert classes == CLASSES[dataset.lower()]
    crop, pads = the_crop(cfg)
    assert pads or tuple(cfg.model.data_preprocessor.size) == crop  # who pads small images
    if not clip and 'PSPHead' not in cfg.model.decode_head.type:  # their losses are their own
        loss = cfg.model.decode_head.loss_decode  # never the mean over ignored pixels too
        assert loss.type == 'mmwsss.BalancedCrossEntropy' or loss.avg_non_ignore
    if cfg.model.type == 'mmwsss.DeepLab':
        assert cfg.model.backbone.init_cfg.type == 'mmwsss.StrictPretrained'
        assert cfg.model.backbone.init_cfg.hint


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
@pytest.mark.parametrize('size', [(90, 70), (530, 610)], ids=['small', 'large'])
def test_training_samples(path, size, tmp_path):
    """Image and mask stay together; what the crop adds is the mean colour and the ignore label."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(path)
    half = size[1] // 2
    image, mask = np.full((*size, 3), 40, np.uint8), np.zeros(size, np.uint8)
    image[:, half:], mask[:, half:] = 220, 1
    Image.fromarray(image).save(tmp_path / 'a.png')
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    np.random.seed(0)
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    results = dict(
        img_path=str(tmp_path / 'a.png'),
        seg_map_path=str(tmp_path / 'mask.png'),
        label_map=None,
        reduce_zero_label=False,
        seg_fields=[],
    )
    samples = [pipeline(dict(results, seg_fields=[])) for _ in range(4)]
    batch = dict(
        inputs=[s['inputs'] for s in samples], data_samples=[s['data_samples'] for s in samples]
    )
    data = preprocessor(batch, training=True)
    labels = torch.stack([s.gt_sem_seg.data[0] for s in data['data_samples']])
    assert data['inputs'].shape[-2:] == labels.shape[-2:] == the_crop(cfg)[0]
    assert set(labels.unique().tolist()) <= {0, 1, 255}
    ignored = labels == 255
    brightness = data['inputs'].mean(1)
    if size == (90, 70):
        assert ignored.any()
    assert (brightness[ignored].abs() < 1e-4).all()
    # jitter may move every colour, but not the dark half above the bright one
    inside = ~ignored
    dark, bright = brightness[inside & (labels == 0)], brightness[inside & (labels == 1)]
    middle = (dark.mean() + bright.mean()) / 2
    assert (dark < middle).float().mean() > 0.95
    assert (bright > middle).float().mean() > 0.95


@pytest.mark.parametrize('path', BOUNDS, ids=lambda p: p.stem)
def test_upper_bounds_differ_in_their_masks_alone(path):
    cfg, full = (Config.fromfile(p) for p in (path, FOLDER / f'{path.stem}-full.py'))
    theirs, dataset = cfg.train_dataloader.dataset, full.train_dataloader.dataset
    assert dataset.pop('mask_dir') is None and dataset.pop('masks') is True
    assert theirs.pop('mask_dir') and not theirs.pop('masks', False)
    assert cfg.to_dict() == full.to_dict()


@pytest.mark.parametrize('path', BOUNDS, ids=lambda p: p.stem)
def test_small_networks_learn_and_predict(path):
    """From the shipped weights, on two pictures whose right half is another class."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    images = torch.full((2, 3, 112, 112), 60, dtype=torch.uint8)
    images[..., 56:] = 200
    label = torch.zeros(1, 112, 112, dtype=torch.long)
    label[..., 56:] = 4
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in images]
    data = dict(inputs=list(images), data_samples=samples)
    losses = [model.train().train_step(data, optimizer)['loss'].item() for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]
    found = model.eval().val_step(dict(inputs=[images[0, :, :100, :90]]))[0]
    assert found.pred_sem_seg.data.shape == (1, 100, 90)
