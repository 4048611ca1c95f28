"""All stages of PSA with the real tools, a few images and iterations."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmwsss.datasets.mini_render import write_mini

CONFIGS = Path(__file__).parents[2] / 'configs'
FEW = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 5,
    'default_hooks.checkpoint.interval': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.ids': 'few.txt',
    'val_dataloader.dataset.ids': 'few.txt',
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'test_dataloader.dataset.ids': 'few.txt',
}


@pytest.fixture
def folder(tmp_path):
    """The mini data with a split of four images, and the pipeline on it."""
    write_mini(tmp_path / 'data/mini')
    ids = (tmp_path / 'data/mini/ImageSets/Segmentation/train.txt').read_text().split()[:4]
    (tmp_path / 'few.txt').write_text('\n'.join(ids) + '\n')
    stages = Config.fromfile(CONFIGS / 'pipelines/psa_mini.py').stages
    for stage in stages:
        if 'config' in stage:
            stage.config = str((CONFIGS / 'pipelines' / stage.config).resolve())
            stage.options = FEW
        if 'split' in stage:
            stage.split = 'few.txt'
    Config(dict(stages=stages)).dump(tmp_path / 'psa_few.py')
    return tmp_path


def test_psa_from_nothing_to_val(folder, run_tool):
    done = run_tool('run_pipeline.py', 'psa_few.py', cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / 'work_dirs/psa_few/report.json').read_text())
    scores = {name: r['metrics']['mIoU'] for name, r in report.items() if r['metrics']}
    assert list(scores) == ['seed', 'mask', 'val', 'val_crf']
    assert all(0 <= score <= 100 for score in scores.values())
    assert len(list((folder / 'work_dirs/psa_mini_affinity/masks').glob('*.png'))) == 4
    again = run_tool('run_pipeline.py', 'psa_few.py', cwd=folder)
    assert again.stdout.count('finished before') == len(report)
