"""Testing from a config."""

from __future__ import annotations

import os

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from ..stages.launch import build_runner
from ..stages.predict import NO_CHECKPOINT, as_list, check_outputs, enable_tta_and_crf
from ..utils.checks import check_output_folder


def test_from_cfg(
    cfg: Config,
    checkpoint: str | os.PathLike | None,
    tta: bool = False,
    crf: str | None = None,
    out: str | os.PathLike | None = None,
    show: bool = False,
    show_dir: str | os.PathLike | None = None,
    wait_time: float = 2.0,
) -> dict[str, float]:
    """Test the model of a config with the weights of a checkpoint.

    Args:
        cfg: A config as :func:`load_config` gives it; it is modified.
        checkpoint: Its keys must be exactly those of the model. None is for models without
            trainable weights; ``'none'`` tests any model as it is built.
        tta, crf: See :func:`mmwsss.stages.predict.enable_tta_and_crf`.
        out: Folder for the predicted label maps.
        show: Show each prediction in a window for ``wait_time`` seconds.
        show_dir: Folder for a panel per image (image, cam, pseudo mask, prediction, truth).

    Returns:
        The metrics.

    Raises:
        OSError: A folder is not writable; raised before anything is built.
        ValueError: ``tta`` or ``crf`` does not suit the config, or a model that has to be trained
            gets no checkpoint.
        RuntimeError: The checkpoint does not fit the model.
    """
    for folder in (out, show_dir):
        if folder is not None:
            check_output_folder(folder)
    given = checkpoint is not None and str(checkpoint) != NO_CHECKPOINT
    cfg.load_from, cfg.resume = (str(checkpoint) if given else None), False
    if out is not None:
        writer = dict(type='mmwsss.PseudoMaskWriter', output_dir=str(out))
        cfg.test_evaluator = [*as_list(cfg.test_evaluator), writer]
    if show:
        cfg.default_hooks.visualization = dict(
            type='SegVisualizationHook', draw=True, show=True, wait_time=wait_time
        )
    if show_dir is not None:
        panels = dict(type='mmwsss.PanelVisualizationHook', out_dir=str(show_dir))
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), panels]
        cfg.merge_from_dict({'model.test_cfg.with_cam': True})
    enable_tta_and_crf(cfg, tta, crf)
    check_outputs(cfg, **({} if show_dir is None else {'show_dir': str(show_dir)}))
    runner = build_runner(cfg)
    if checkpoint is None and any(p.requires_grad for p in runner.model.parameters()):
        raise ValueError(_missing_checkpoint(cfg))
    return runner.test()


test_from_cfg.__test__ = False  # not a test, whatever pytest concludes from its name


def _missing_checkpoint(cfg: Config) -> str:
    newest = find_latest_checkpoint(cfg.work_dir)
    found = (
        f'the newest one of {cfg.work_dir} is {newest}'
        if newest
        else (f'there is none in {cfg.work_dir}; train the config first')
    )
    return (
        f'the model of {cfg.filename or "the config"} has weights that are trained, and no '
        f'checkpoint was given: {found}. Say {NO_CHECKPOINT!r} in place of the checkpoint to test '
        'the untrained model.'
    )
