"""A training that was killed and resumed ends like one that ran through."""

import itertools
import signal
from pathlib import Path

import pytest
import torch
from mmengine.runner import ValLoop

from mmwsss.apis import load_config, train_from_cfg
from mmwsss.apis.train import _latest_checkpoint
from mmwsss.utils import load_checkpoint_file

from .tiny_run import TRIED, write_mini_run, write_tiny_run

KILLER = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Killer(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if str(batch_idx) == os.environ.get('KILL'):
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
@pytest.mark.parametrize('case', ['no worker', 'two workers', *TRIED])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, run_tool, case, monkeypatch):
    mini = not case.endswith(('worker', 'workers'))
    if mini:
        config, first, last = write_mini_run(tmp_path, 9, case), 'iter_3.pth', 'iter_9.pth'
    else:
        config = write_tiny_run(tmp_path, workers=2 if case == 'two workers' else 0)
        first, last = 'iter_10.pth', 'iter_30.pth'
    at = '4' if mini else '14'
    train(config, tmp_path / 'straight')

    (tmp_path / 'killer.py').write_text(KILLER)
    doomed = tmp_path / 'doomed.py'
    doomed.write_text(DOOMED.format(config.name))
    killed = run_tool(
        'train.py', doomed, '--work-dir=killed', cwd=tmp_path, PYTHONPATH=str(tmp_path), KILL=at
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert sorted(path.name for path in (tmp_path / 'killed').glob('*.pth')) == [first]

    start = load_checkpoint_file(tmp_path / 'killed' / first)
    monkeypatch.syspath_prepend(tmp_path)
    train(doomed, tmp_path / 'killed', resume='auto')
    straight = load_checkpoint_file(tmp_path / 'straight' / last)
    resumed = load_checkpoint_file(tmp_path / 'killed' / last)
    moved = 0.0
    for name, weight in straight['state_dict'].items():
        torch.testing.assert_close(resumed['state_dict'][name], weight, rtol=0, atol=1e-5)
        moved = max(moved, (weight - start['state_dict'][name]).abs().max().item())
    assert moved > 3e-4  # 30 times the tolerance
    assert (tmp_path / 'killed' / 'last_checkpoint').read_text().endswith(last)


_NUMBERS = itertools.count()


def tiny(config: Path, work_dir: Path, options: dict | None = None, **kwargs) -> None:
    """Two iterations, a checkpoint after each, unless the options say otherwise."""
    short = {
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 100,
        'default_hooks.checkpoint.interval': 1,
        'param_scheduler.0.end': 2,
    }
    cfg = load_config(config, {**short, **(options or {})}, work_dir)
    cfg.experiment_name = str(next(_NUMBERS))  # mmengine would share facts of runs of one second
    train_from_cfg(cfg, **kwargs)


def learning_rates(work_dir: Path) -> dict[int, float]:
    """Rate of every iteration, as the checkpoints hold it for the next one."""
    return {
        int(path.stem.removeprefix('iter_')): load_checkpoint_file(path)['optimizer'][
            'param_groups'
        ][0]['lr']
        for path in work_dir.glob('iter_*.pth')
    }


LONGER = {'train_cfg.max_iters': 6, 'param_scheduler.0.end': 6}


def test_a_longer_schedule_is_refused_or_followed(tmp_path):
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'straight', LONGER)
    tiny(config, tmp_path / 'work')
    with pytest.raises(ValueError, match=r'param_scheduler\.0\.end: 2 -> 6.*--accept-changes'):
        tiny(config, tmp_path / 'work', LONGER, resume='auto')
    assert sorted(learning_rates(tmp_path / 'work')) == [1, 2]
    tiny(config, tmp_path / 'work', LONGER, resume='auto', accept_changes=True)
    expected, found = learning_rates(tmp_path / 'straight'), learning_rates(tmp_path / 'work')
    assert {key: found[key] for key in (3, 4, 5, 6)} == pytest.approx(
        {key: expected[key] for key in (3, 4, 5, 6)}
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'optim_wrapper.optimizer.lr': 0.01}, r'optimizer\.lr: 0\.1 -> 0\.01'),
        ({'randomness.seed': 4}, r'randomness\.seed: 3 -> 4'),
        ({'train_dataloader.batch_size': 1}, 'batch_size: 2 -> 1'),
        ({'model.decode_head.dropout_ratio': 0.1}, r'dropout_ratio: 0\.3 -> 0\.1'),
    ],
)
def test_resuming_with_other_settings_names_them(tmp_path, options, message):
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'work')
    with pytest.raises(ValueError, match=message):
        tiny(config, tmp_path / 'work', {**LONGER, **options}, resume='auto')


def test_what_has_no_influence_may_change(tmp_path):
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'work', {'train_cfg.max_iters': 2})
    slide = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))
    tiny(config, tmp_path / 'work', {'model.test_cfg': slide}, resume='auto')


def test_resuming_with_other_data_is_refused(tmp_path):
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'work')
    mask = tmp_path / 'data' / 'masks' / '3.png'
    mask.write_bytes(mask.read_bytes() + b' ')
    with pytest.raises(ValueError, match=r'data\.masks'):
        tiny(config, tmp_path / 'work', resume='auto')


def test_a_changed_rate_is_used_when_accepted(tmp_path):
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'work', LONGER | {'train_cfg.max_iters': 2})
    options = LONGER | {'optim_wrapper.optimizer.lr': 0.01, 'optim_wrapper.optimizer.momentum': 0.5}
    tiny(config, tmp_path / 'work', options, resume='auto', accept_changes=True)
    tiny(config, tmp_path / 'straight', options)
    assert learning_rates(tmp_path / 'work')[5] == pytest.approx(
        learning_rates(tmp_path / 'straight')[5]
    )
    last = load_checkpoint_file(tmp_path / 'work' / 'iter_6.pth')
    assert last['optimizer']['param_groups'][0]['momentum'] == 0.5


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


def test_an_empty_note_of_the_last_checkpoint_is_made_up_for(tmp_path):
    """As a full disk leaves it; the checkpoint of most steps is taken, not that of the best."""
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'work', LONGER | {'train_cfg.max_iters': 2})
    (tmp_path / 'work/last_checkpoint').write_text('')
    (tmp_path / 'work/best_mIoU_iter_1.pth').write_text('')
    (tmp_path / 'work/iter_2.pth').rename(tmp_path / 'work/iter_10.pth')
    assert _latest_checkpoint(str(tmp_path / 'work')) == tmp_path / 'work/iter_10.pth'
    (tmp_path / 'work/last_checkpoint').unlink()  # as a checkpoint alone is copied
    assert _latest_checkpoint(str(tmp_path / 'work')) == tmp_path / 'work/iter_10.pth'
    assert _latest_checkpoint(str(tmp_path / 'nothing')) is None


BEST = {'default_hooks.checkpoint.save_best': 'mIoU'}


@pytest.mark.parametrize('killed_at', [1, 2])
def test_the_validation_that_a_run_was_killed_in_is_made_up_for(tmp_path, monkeypatch, killed_at):
    """The checkpoint of that step is there already; the best one must not be missed."""
    config = write_tiny_run(tmp_path)
    options = BEST | {'train_cfg.val_interval': 1}
    tiny(config, tmp_path / 'straight', options)
    run, steps = ValLoop.run, []

    def killed(loop):
        if loop.runner.iter == killed_at and not steps:
            steps.append(loop.runner.iter)
            raise KeyboardInterrupt
        steps.append(loop.runner.iter)
        return run(loop)

    monkeypatch.setattr(ValLoop, 'run', killed)
    with pytest.raises(KeyboardInterrupt):
        tiny(config, tmp_path / 'work', options | {'train_cfg.val_begin': killed_at})
    assert not list((tmp_path / 'work').glob('best_*'))
    tiny(config, tmp_path / 'work', options | {'train_cfg.val_begin': killed_at}, resume='auto')
    assert steps == [killed_at, *range(killed_at, 3)]
    found = [path.name for path in (tmp_path / 'work').glob('best_*')]
    if killed_at == 1:
        assert found == [path.name for path in (tmp_path / 'straight').glob('best_*')]
    assert len(found) == 1
    tiny(config, tmp_path / 'work', options | {'train_cfg.val_begin': killed_at}, resume='auto')
    assert [path.name for path in (tmp_path / 'work').glob('best_*')] == found


def test_checkpoints_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    config = write_tiny_run(tmp_path)

    def full(content, file):
        file.write(b'half of it')
        raise OSError('No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError, match='No space left'):
        tiny(config, tmp_path / 'work')
    assert not list((tmp_path / 'work').rglob('*.pth'))


def test_resuming_from_other_initial_weights_is_refused(tmp_path):
    """Those of ``load_from`` and of files that the model names, by their content."""
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'first')
    start = tmp_path / 'start.pth'
    start.write_bytes((tmp_path / 'first/iter_1.pth').read_bytes())
    options = {'load_from': str(start)}
    tiny(config, tmp_path / 'work', options)
    tiny(config, tmp_path / 'work', options, resume='auto')
    with pytest.raises(ValueError, match=r'settings\.load_from: .*start\.pth -> None'):
        tiny(config, tmp_path / 'work', {**options, 'load_from': None}, resume='auto')
    start.write_bytes((tmp_path / 'first/iter_2.pth').read_bytes())
    with pytest.raises(ValueError, match=r'named\.load_from: '):
        tiny(config, tmp_path / 'work', options, resume='auto')


def test_checkpoints_of_an_earlier_training_are_told(tmp_path, capfd):
    config = write_tiny_run(tmp_path)
    tiny(config, tmp_path / 'work')
    assert 'checkpoints of an earlier training' not in ''.join(capfd.readouterr())
    tiny(config, tmp_path / 'work', resume='auto')
    assert 'checkpoints of an earlier training' not in ''.join(capfd.readouterr())
    tiny(config, tmp_path / 'work')
    said = ''.join(capfd.readouterr())
    assert 'checkpoints of an earlier training (iter_1.pth, iter_2.pth)' in said
