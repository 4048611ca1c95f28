"""A training that was killed and resumed ends like one that ran through."""

import signal
from pathlib import Path

import pytest
import torch
from tiny_run import write_mini_run, write_tiny_run

from mmwsss.apis import load_config, train_from_cfg
from mmwsss.utils import load_checkpoint_file

KILLER = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Killer(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 14:
            os.kill(os.getpid(), signal.SIGKILL)
"""


DOOMED = """
_base_ = {!r}
custom_imports = dict(imports=['killer'])
custom_hooks = [dict(type='Killer')]
"""


def train(config: Path, work_dir: Path, resume: str | None = None) -> None:
    cfg = load_config(config, work_dir=work_dir)
    cfg.experiment_name = f'{work_dir}-{resume}'
    train_from_cfg(cfg, resume=resume)


@pytest.fixture
def one_thread():
    """As many threads as the tools are run with.

    Sums of several threads are not repeatable to the bit, and a bias of attention's keys, whose
    true gradient is zero, moves by nothing but rounding (which Adam scales up to whole steps).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures('one_thread')
@pytest.mark.parametrize('case', ['no worker', 'two workers', 'weclip'])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, run_tool, case):
    if case == 'weclip':
        config = write_mini_run(tmp_path)
    else:
        config = write_tiny_run(tmp_path, workers=2 if case == 'two workers' else 0)
    train(config, tmp_path / 'straight')

    (tmp_path / 'killer.py').write_text(KILLER)
    doomed = tmp_path / 'doomed.py'
    doomed.write_text(DOOMED.format(config.name))
    killed = run_tool(
        'train.py', doomed, '--work-dir=killed', cwd=tmp_path, PYTHONPATH=str(tmp_path)
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert sorted(path.name for path in (tmp_path / 'killed').glob('*.pth')) == ['iter_10.pth']

    start = load_checkpoint_file(tmp_path / 'killed' / 'iter_10.pth')
    train(config, tmp_path / 'killed', resume='auto')
    straight = load_checkpoint_file(tmp_path / 'straight' / 'iter_30.pth')
    resumed = load_checkpoint_file(tmp_path / 'killed' / 'iter_30.pth')
    moved = 0.0
    for name, weight in straight['state_dict'].items():
        torch.testing.assert_close(resumed['state_dict'][name], weight, rtol=0, atol=1e-5)
        moved = max(moved, (weight - start['state_dict'][name]).abs().max().item())
    assert moved > 1e-3
    assert (tmp_path / 'killed' / 'last_checkpoint').read_text().endswith('iter_30.pth')


def test_resume_auto_without_checkpoint_starts(tmp_path):
    config = write_tiny_run(tmp_path)
    cfg = load_config(config, {'train_cfg.max_iters': 1}, tmp_path / 'new')
    train_from_cfg(cfg, resume='auto')
    assert (tmp_path / 'new' / 'iter_1.pth').is_file()


def test_resume_names_the_lost_checkpoint(tmp_path):
    config = write_tiny_run(tmp_path)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'last_checkpoint').write_text('elsewhere/iter_7.pth')
    with pytest.raises(FileNotFoundError, match=r'elsewhere/iter_7\.pth.*--resume CHECKPOINT'):
        train_from_cfg(load_config(config), resume='auto')
