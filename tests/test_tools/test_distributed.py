"""Two gloo processes on the CPU train and test like one process."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmwsss.apis import load_config, test_from_cfg, train_from_cfg
from mmwsss.testing import few_mini_images
from mmwsss.utils import load_checkpoint_file

from ..processes import TOOLS, free_port, run_ranks
from .ddp_step import LEFT_OUT, build, train, train_in_process
from .tiny_run import TRIED, write_mini_run, write_tiny_run


def metrics_of(work_dir: Path) -> list[dict]:
    """The metrics that runs wrote into a work dir, oldest run first."""
    lines = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')) or sorted(
        work_dir.glob('*/*.json')
    ):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if 'mIoU' in line]


def run_sh(name: str, *args: object, cwd: Path, python: Path = Path(sys.executable)) -> None:
    """A script of tools/ that starts torchrun."""
    path = f'{python.parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', str(TOOLS / name), *map(str, args)],
        cwd=cwd,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PATH': path, 'PORT': free_port()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def write_recorder(path: Path) -> Path:
    """A program that writes its arguments to ``words``, a line each."""
    path.parent.mkdir()
    path.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done > words\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ('name', 'given'),
    [
        ('dist_train.sh', ['own.py', '3', '--work-dir', 'a b']),
        ('dist_test.sh', ['own.py', 'none', '3', '--work-dir', 'a b']),
    ],
)
def test_scripts_hand_their_arguments_on(tmp_path, name, given):
    python = write_recorder(tmp_path / 'bin' / 'python')
    run_sh(name, *given, cwd=tmp_path, python=python)
    words = (tmp_path / 'words').read_text().splitlines()
    assert words[:2] == ['-m', 'torch.distributed.run'] and '--nproc_per_node=3' in words
    tool, *rest = words[[word.endswith('.py') for word in words].index(True) :]
    assert Path(tool) == TOOLS / f'{name[5:-3]}.py'
    assert rest == [*given[: given.index('3')], '--launcher', 'pytorch', '--work-dir', 'a b']


@pytest.mark.parametrize(
    ('name', 'given'), [('slurm_train.sh', ['own.py']), ('slurm_test.sh', ['own.py', 'none'])]
)
@pytest.mark.parametrize('per_node', [0, 2])
def test_slurm_gets_a_process_for_each_gpu(tmp_path, monkeypatch, name, given, per_node):
    srun = write_recorder(tmp_path / 'bin' / 'srun')
    monkeypatch.setenv('GPUS', '6')
    monkeypatch.setenv('GPUS_PER_NODE', str(per_node))
    run_sh(name, 'part', 'job', *given, '--work-dir', 'a b', cwd=tmp_path, python=srun)
    words = (tmp_path / 'words').read_text().splitlines()
    assert {'--partition=part', '--job-name=job', '--ntasks=6'} <= set(words)
    assert ('--gres=gpu:2' in words, '--ntasks-per-node=2' in words) == (per_node > 0,) * 2
    tool = str(TOOLS / f'{name[6:-3]}.py')
    start = words.index('python')
    assert words[start:] == [
        'python', '-u', tool, *given, '--launcher', 'slurm', '--work-dir', 'a b'
    ]  # fmt: skip


def test_two_processes_train_like_one(tmp_path, run_tool):
    no_dropout = 'model.decode_head.dropout_ratio=0.0'
    config = write_tiny_run(tmp_path, batch_size=2)
    cfg = load_config(config, {'model.decode_head.dropout_ratio': 0.0}, tmp_path / 'one')
    train_from_cfg(cfg)

    options = ('--launcher=pytorch', '--work-dir=two', '--cfg-options', no_dropout)
    halves = 'train_dataloader.batch_size=1'
    done = run_tool('train.py', config, *options, halves, cwd=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_checkpoint_file(tmp_path / run / 'iter_30.pth') for run in ('one', 'two'))
    for name, weight in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][name], weight, rtol=1e-3, atol=1e-4)
    trained = [metrics_of(tmp_path / run)[-1]['mIoU'] for run in ('one', 'two')]
    assert trained[0] > 35
    assert trained[1] == pytest.approx(trained[0], abs=0.5)


@pytest.mark.parametrize('method', TRIED)
def test_methods_train_and_test_in_two_processes(tmp_path, run_tool, method, monkeypatch):
    """Seven images for two processes: one image is dealt twice and must count once."""
    monkeypatch.chdir(tmp_path)  # some write maps
    config = write_mini_run(tmp_path, method=method)
    run_sh('dist_train.sh', config, 2, '--work-dir=two', cwd=tmp_path)
    checkpoint = tmp_path / 'two' / 'iter_3.pth'
    options = ('--launcher=pytorch', '--work-dir=tested')
    done = run_tool('test.py', config, checkpoint, *options, cwd=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    single = test_from_cfg(load_config(config, work_dir=tmp_path / 'single'), checkpoint)
    both = metrics_of(tmp_path / 'tested')[-1]
    assert {'mIoU', 'mIoU_fg', 'pAcc'} <= single.keys()
    for name, value in single.items():
        assert both[name] == pytest.approx(value, abs=1e-4, nan_ok=True), name


def test_a_model_without_trainable_weights_runs_in_two_processes(tmp_path, run_tool):
    config = Path(__file__).parents[2] / 'configs/wsss/clip_es_mini.py'
    options = {
        'test_dataloader.dataset.data_root': str(tmp_path / 'data'),
        'test_dataloader.dataset.indices': 5,
        'test_dataloader.batch_size': 1,
        'test_evaluator.0.output_dir': str(tmp_path / 'cams'),
    }
    few_mini_images(tmp_path / 'data', train=5)
    single = test_from_cfg(load_config(config, options, tmp_path / 'one'), None)
    arguments = ['none', '--launcher=pytorch', '--work-dir=two', '--cfg-options']
    arguments += [f'{key}={value}' for key, value in options.items()]
    done = run_tool('test.py', config, *arguments, cwd=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert metrics_of(tmp_path / 'two')[-1]['mIoU'] == pytest.approx(single['mIoU'], abs=1e-4)
    assert len(list((tmp_path / 'cams').glob('*.npz'))) == 5


def in_two_processes(folder: Path, method: str, iterations: list[int]) -> list[dict]:
    """Results of the processes, which must have the same weights."""
    run_ranks(train_in_process, 2, free_port(), method, iterations, str(folder))
    both = [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(2)]
    for name, weight in both[0]['weights'].items():
        assert torch.equal(weight, both[1]['weights'][name]), name
    return both


def test_afa_classifies_in_two_processes_like_one(tmp_path):
    """While the classification loss is alone; the others average over pixels of a batch."""
    iterations = [0, 1, 2, 10**6]  # the last one with all losses
    two = in_two_processes(tmp_path, 'afa', iterations)[0]
    one = train('afa', iterations)
    first, second = one['losses'][0]['loss_cls'], one['losses'][2]['loss_cls']
    assert second < first
    for single, both in zip(one['losses'], two['losses'], strict=True):
        assert both['loss_cls'] == pytest.approx(single['loss_cls'], rel=1e-4)
    last = two['losses'][-1]
    assert last['loss_seg'] > 0 and last['loss_affinity'] > 0


def test_one_stage_trains_in_two_processes_like_one(tmp_path):
    """With fixed batch norms both losses are means over images."""
    iterations = [0, 1, 2]
    two = in_two_processes(tmp_path, 'one_stage', iterations)[0]
    one = train('one_stage', iterations)
    for single, both in zip(one['losses'], two['losses'], strict=True):
        assert single['mask_images'] > 0 and single['loss_mask'] > 0
        for name in ('loss_cls', 'loss_mask', 'mask_images'):
            assert both[name] == pytest.approx(single[name], rel=1e-4), name
    for name, weight in one['weights'].items():
        torch.testing.assert_close(two['weights'][name], weight, rtol=1e-3, atol=1e-5)


def test_acr_trains_in_two_processes_like_one(tmp_path):
    """Two networks, each wrapped by itself; all losses are means over images.

    A loss of one process that is not finite leaves the step of that network out in both.
    """
    iterations = [0, 1, LEFT_OUT, 2]
    two = in_two_processes(tmp_path, 'acr_mini_cam', iterations)[0]
    one = train('acr_mini_cam', iterations)
    for single, both in zip(one['losses'], two['losses'], strict=True):
        assert single['loss_recon_target'] > 0 and single['loss_target'] < 0
        assert both == pytest.approx(single, rel=1e-4, nan_ok=True)
    lost = [math.isnan(losses['loss_recon_full']) for losses in two['losses']]
    assert lost == [False, False, True, False]
    start = build('acr_mini_cam').state_dict()
    moved = {name for name, weight in one['weights'].items() if not weight.equal(start[name])}
    assert {name.split('.')[0] for name in moved} == {'classifier', 'reconstructor'}
    for name, weight in one['weights'].items():
        torch.testing.assert_close(two['weights'][name], weight, rtol=1e-3, atol=1e-5)
