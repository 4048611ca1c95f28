"""All stages of PMM with the real tools, a few images and iterations."""

import json
import runpy
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmwsss.testing import few_mini_images
from mmwsss.utils.io import read_mask

from ..processes import TOOLS, run_script

PIPELINE = Path(__file__).parents[2] / 'configs/pipelines/pmm_mini_resnet38.py'
FEW = (
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=5',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.batch_size=2',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
)


@pytest.fixture
def run_pipeline(tmp_path, monkeypatch, capfd):
    """The tool, here; its stages are the real tools in processes of their own."""
    numbers = count()

    def run_stage(command, **_):
        out = tmp_path / f'stage{next(numbers)}'
        (done,) = run_script(Path(command[1]), *command[2:], cwd=tmp_path, out=out)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run():
        monkeypatch.setattr(sys, 'argv', ['run_pipeline.py', str(PIPELINE), '--cfg-options', *FEW])
        runpy.run_path(str(TOOLS / 'run_pipeline.py'), run_name='__main__')
        return capfd.readouterr().out

    few_mini_images(tmp_path / 'data/mini')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setattr('mmwsss.stages.launch.subprocess', SimpleNamespace(run=run_stage))
    return run


def test_pmm_from_nothing_through_a_cycle(run_pipeline, tmp_path):
    printed = run_pipeline()
    work = tmp_path / 'work_dirs/pmm_mini_resnet38'
    report = json.loads((work / 'report.json').read_text())
    scores = [name for name, r in report.items() if 'mIoU' in r['metrics']]
    assert scores == [
        'seam_seed', 'seed', 'mask', 'val_0', 'val_crf_0', 'mask_1', 'val_1', 'val_crf_1',
    ]  # fmt: skip
    for folder in ('masks', 'cycle_1'):
        masks = [read_mask(path, 11) for path in (work / folder).glob('*.png')]
        assert len(masks) == 4 and not any((mask == 255).any() for mask in masks)
    assert printed.count('(unsure)') == 2  # a table of both
    for name, gated in (('network_0', True), ('network_1', False)):
        (path,) = (work / name).glob('*/vis_data/scalars.json')
        first = json.loads(path.read_text().splitlines()[0])
        assert ('puf_gate' in first and 'puf_aux_capped' in first) is gated
    with np.load(next((work / 'scores').glob('*.npz'))) as file:
        assert file['scores'].shape[0] == 1 + len(file['labels'])
    assert run_pipeline().count('finished before') == len(report)
