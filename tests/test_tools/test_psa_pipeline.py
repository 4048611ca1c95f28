"""All stages of PSA with the real tools, a few images and iterations."""

import json
import runpy
import shutil
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmwsss.testing import few_mini_images

from ..processes import TOOLS, run_script

CONFIGS = Path(__file__).parents[2] / 'configs'
FEW = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 5,
    'default_hooks.checkpoint.interval': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.batch_size': 2,
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
}


@pytest.fixture
def folder(tmp_path):
    """A few of the mini data, and the pipeline on them."""
    data = few_mini_images(tmp_path / 'data/mini')
    shutil.copy(data / 'ImageSets/Segmentation/train.txt', tmp_path / 'few.txt')
    stages = Config.fromfile(CONFIGS / 'pipelines/psa_mini.py').stages
    for stage in stages:
        if 'config' in stage:
            stage.config = str((CONFIGS / 'pipelines' / stage.config).resolve())
            stage.options = FEW
        if 'split' in stage:
            stage.split = 'few.txt'
    Config(dict(stages=stages)).dump(tmp_path / 'psa_few.py')
    return tmp_path


@pytest.fixture
def run_pipeline(folder, monkeypatch, capfd):
    """The tool, here; its stages are the real tools in processes of their own."""
    numbers = count()

    def run_stage(command, **_):
        assert command[0] == sys.executable
        out = folder / f'stage{next(numbers)}'
        (done,) = run_script(Path(command[1]), *command[2:], cwd=folder, out=out)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run(config):
        monkeypatch.setattr(sys, 'argv', ['run_pipeline.py', config])
        runpy.run_path(str(TOOLS / 'run_pipeline.py'), run_name='__main__')
        return capfd.readouterr().out

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setattr('mmwsss.stages.launch.subprocess', SimpleNamespace(run=run_stage))
    return run


def test_psa_from_nothing_to_val(folder, run_pipeline):
    run_pipeline('psa_few.py')
    report = json.loads((folder / 'work_dirs/psa_few/report.json').read_text())
    scores = {name: r['metrics']['mIoU'] for name, r in report.items() if r['metrics']}
    assert list(scores) == ['seed', 'mask', 'val', 'val_crf']
    assert all(0 <= score <= 100 for score in scores.values())
    assert len(list((folder / 'work_dirs/psa_mini_affinity/masks').glob('*.png'))) == 4
    assert run_pipeline('psa_few.py').count('finished before') == len(report)
