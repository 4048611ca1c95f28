"""Training from a config."""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint
from torch import nn

from ..stages.launch import build_runner
from ..utils.checkpoint import step_checkpoints
from ..utils.checks import some

_AMP_WRAPPERS = {
    'OptimWrapper': 'AmpOptimWrapper',
    'mmwsss.SkippingOptimWrapper': 'mmwsss.SkippingAmpOptimWrapper',
}


def train_from_cfg(
    cfg: Config, resume: str | None = None, amp: bool = False, accept_changes: bool = False
) -> nn.Module:
    """Train the model of a config.

    Args:
        cfg: A config as :func:`load_config` gives it; it is modified.
        resume: ``'auto'`` continues from the newest checkpoint of the work dir (or starts when
            there is none), a path continues from that checkpoint.
        amp: Train in automatic mixed precision.
        accept_changes: Resume although settings or training data are not those of the checkpoint;
            the present ones, schedules included, are used from there on.

    Returns:
        The trained model.

    Raises:
        OSError: The work dir is not writable; raised before anything is built.
        ValueError: ``amp`` on a CPU or with an optimizer wrapper that has no mixed-precision form;
            settings or data have changed since the checkpoint that is resumed.
    """
    if resume == 'auto':
        resume = _latest_checkpoint(cfg.work_dir)
    if resume is not None:
        cfg.begun_from = cfg.get('load_from')
        cfg.resume, cfg.load_from = True, str(resume)
    else:
        _warn_of_others(cfg.work_dir)
    _make_resumable(cfg)
    if amp:
        _enable_amp(cfg)
    cfg.accept_changes = accept_changes
    return build_runner(cfg).train()


def _warn_of_others(work_dir: str) -> None:
    """Say that checkpoints of an earlier training will lie among those of this one."""
    found = sorted(path.name for path in Path(work_dir).glob('[!.]*.pth'))
    if found and is_main_process():
        print_log(
            f'{work_dir} holds checkpoints of an earlier training ({some(found)}), which this one '
            'does not continue (--resume does) and only overwrites where names are equal: the best '
            'ones may lie beside those of this training. Use another --work-dir, or move them '
            'away.',
            'current',
            logging.WARNING,
        )


def _enable_amp(cfg: Config) -> None:
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if get_device() == 'cpu':
        raise ValueError('--amp needs a GPU; train without it on a CPU.')
    if wrapper not in (*_AMP_WRAPPERS, *_AMP_WRAPPERS.values()):
        raise ValueError(
            f'--amp needs optim_wrapper.type {" or ".join(_AMP_WRAPPERS)}, the config has '
            f'{wrapper}.'
        )
    cfg.optim_wrapper.type = _AMP_WRAPPERS.get(wrapper, wrapper)
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _latest_checkpoint(work_dir: str) -> Path | None:
    """The checkpoint that the file ``last_checkpoint`` names; None when there is none yet.

    If the file is not there or empty, as when the disk was full, the power failed or a checkpoint
    alone was copied: the one with most steps.
    """
    recorded = find_latest_checkpoint(work_dir) or ''
    if not recorded.strip('\0 \n'):
        found = step_checkpoints(work_dir)
        return found[-1] if found else None
    # mmengine records a path relative to the folder in which it ran.
    for path in (Path(recorded), Path(work_dir) / Path(recorded).name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f'{work_dir}/last_checkpoint names {recorded}, which does not exist. Pass a checkpoint: '
        '--resume CHECKPOINT, or start again in another --work-dir.'
    )


def _make_resumable(cfg: Config) -> None:
    """Derive every random draw from the seed and the position in training.

    Then a run that was interrupted and resumed draws the same as an uninterrupted one, with any
    number of data loading workers.
    """
    loader = cfg.train_dataloader
    if loader.sampler.type != 'InfiniteSampler' or 'pipeline' not in loader.dataset:
        return
    loader.sampler.type = 'mmwsss.SeededInfiniteSampler'
    loader.dataset.pipeline = [dict(type='mmwsss.SeedSample'), *loader.dataset.pipeline]
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='mmwsss.SeedIterHook')]
