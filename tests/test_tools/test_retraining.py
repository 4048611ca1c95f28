"""Retraining on pseudo masks by the command line: a few iterations of the mini config."""

import shutil
from pathlib import Path

import pytest
import torch

from mmwsss.testing import few_mini_images

CONFIG = Path(__file__).parents[2] / 'configs/segmentation/deeplabv1_resnet38_mini.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A working directory with the mini data and masks for its training images."""
    folder = tmp_path_factory.mktemp('retraining')
    data = few_mini_images(folder / 'data/mini', val=3)
    masks = folder / 'work_dirs/psa_mini_affinity/masks'
    masks.mkdir(parents=True)
    # any label maps serve; these happen to exist
    for name in (data / 'ImageSets/Segmentation/train.txt').read_text().split():
        shutil.copy(data / f'SegmentationClass/{name}.png', masks)
    return folder


OPTIONS = [
    '--cfg-options',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=5',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.batch_size=2',
]


def test_trains_and_tests_with_views_and_crf(folder, run_tool):
    done = run_tool('train.py', CONFIG, *OPTIONS, cwd=folder)
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert 'ResNet38d: 191 of 191 tensors from mmwsss://mini_resnet38' in log
    checkpoint = folder / f'work_dirs/{CONFIG.stem}/iter_2.pth'
    crf = ['model.test_cfg.crf.preset=deeplabv1', 'model.test_cfg.crf.image=truncated']
    done = run_tool('test.py', CONFIG, checkpoint, '--tta', *OPTIONS, *crf, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert 'mIoU:' in done.stdout + done.stderr


def test_missing_masks_stop_the_run_before_it_starts(folder, run_tool):
    masks = folder / 'some_masks'
    masks.mkdir()
    option = f'train_dataloader.dataset.mask_dir={masks.name}'
    done = run_tool('train.py', CONFIG, *OPTIONS, option, cwd=folder)
    assert done.returncode != 0
    assert '4 of 4 images' in done.stderr
    assert masks.name in done.stderr


def test_weights_of_another_network_stop_the_run(folder, run_tool):
    torch.save(dict(state_dict={'conv1.weight': torch.zeros(1)}), folder / 'other.pth')
    option = 'model.backbone.init_cfg.checkpoint=other.pth'
    done = run_tool('train.py', CONFIG, *OPTIONS, option, cwd=folder)
    assert done.returncode != 0
    assert 'other.pth is no initialisation of ResNet38d' in done.stderr
    assert 'Shipped with the package' in done.stderr
