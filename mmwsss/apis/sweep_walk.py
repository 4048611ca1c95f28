"""The settings of AffinityNet's random walk, compared in one walk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmengine.config import Config

from .test import test_from_cfg


def sweep_walk(
    cfg: Config,
    checkpoint: str | os.PathLike | None,
    logt: Sequence[int] | None = None,
    alpha: Sequence[float] | None = None,
    background: Sequence[float] | None = None,
) -> dict[str, float]:
    """Judge the walk for every pair of background and length on the images of validation.

    Args:
        cfg: A config of :class:`mmwsss.models.segmentors.AffinityNet`, as :func:`load_config` gives
            it; it is modified. Its ``val_dataloader`` has the maps and the true masks.
        checkpoint: As in :func:`test_from_cfg`.
        logt, alpha, background: Lists in place of the values in ``model.test_cfg``.

    Returns:
        The metrics of :class:`mmwsss.evaluation.WalkSweepMetric`; its report is written to
        ``cfg.work_dir``.

    Raises:
        ValueError: The config is of another model or without validation, nothing is swept, or a
            value is out of range.
    """
    swept = dict(logt=logt, alpha=alpha, background=background)
    swept = {key: list(values) for key, values in swept.items() if values is not None}
    if not swept:
        raise ValueError('nothing to sweep: give some of logt, alpha and background')
    if not str(cfg.model.type).endswith('AffinityNet'):
        raise ValueError(f'{cfg.filename} is of {cfg.model.type}: AffinityNet alone has a walk')
    if cfg.get('val_dataloader') is None:
        raise ValueError(f'{cfg.filename} has no val_dataloader, whose true masks would judge')
    cfg.merge_from_dict({'model.test_cfg.sweep': swept})
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = dict(type='mmwsss.WalkSweepMetric', output_dir=cfg.work_dir)
    return test_from_cfg(cfg, checkpoint)
