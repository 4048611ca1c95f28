"""Testing from a config."""

from __future__ import annotations

import os

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from ..datasets.inputs import build_dataset, image_inputs
from ..stages.launch import build_runner
from ..stages.predict import (
    NO_CHECKPOINT,
    as_list,
    check_outputs,
    claim_outputs,
    enable_tta_and_crf,
    is_writer,
    prediction_settings,
)
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
    restart: bool = False,
) -> dict[str, float]:
    """Test the model of a config with the weights of a checkpoint.

    Args:
        cfg: A config as :func:`load_config` gives it; it is modified.
        checkpoint: Its keys must be exactly those of the model. None is for models without
            trainable weights; ``'none'`` tests any model as it is built.
        tta, crf: See :func:`mmwsss.stages.predict.enable_tta_and_crf`.
        out: Folder for the predicted label maps. It, and the folders of other writers among the
            test evaluators, may hold no files of another origin.
        show: Show each prediction in a window for ``wait_time`` seconds.
        show_dir: Folder for a panel per image (image, cam, pseudo mask, prediction, truth).
        restart: Throw files of other settings in the folders away instead of refusing.

    Returns:
        The metrics.

    Raises:
        OSError: A folder is not writable; raised before anything is built.
        ChangedError: A folder holds files of other settings, or of unknown origin.
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
        hook = dict(type='mmwsss.PanelVisualizationHook', out_dir=str(show_dir))
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]
        cfg.merge_from_dict({'model.test_cfg.with_cam': True})
    enable_tta_and_crf(cfg, tta, crf)
    panels = {} if show_dir is None else {'show_dir': str(show_dir)}
    check_outputs(cfg, **panels)
    if writers := _new_writers(cfg):
        dataset = build_dataset(cfg.test_dataloader.dataset)
        check_outputs(cfg, dataset, **panels)
    for writer in writers:
        writer['claimed'] = True
    runner = build_runner(cfg)
    if checkpoint is None and any(p.requires_grad for p in runner.model.parameters()):
        raise ValueError(_missing_checkpoint(cfg))
    if writers:
        runner.register_hook(_ClaimOutputs(writers, dataset, restart))
    return runner.test()


test_from_cfg.__test__ = False  # not a test, whatever pytest concludes from its name


def _new_writers(cfg: Config) -> list[dict]:
    """Writers whose folder the caller has not yet taken."""
    evaluators = as_list(cfg.get('test_evaluator') or [])
    return [one for one in evaluators if is_writer(one) and not one.get('claimed')]


class _ClaimOutputs(Hook):
    """Take the folders that are written to, once the weights have been loaded.

    The main process does so; where it is refused, all processes end.
    """

    def __init__(self, writers: list[dict], dataset: BaseDataset, restart: bool) -> None:
        self.writers, self.dataset, self.restart = writers, dataset, restart

    def before_test(self, runner: Runner) -> None:
        failure: list[Exception | None] = [None]
        if is_main_process():
            try:
                settings = prediction_settings(runner.cfg, runner.cfg.load_from, self.dataset)
                claim_outputs(self.writers, settings, image_inputs(self.dataset), self.restart)
            except Exception as error:  # whatever it is, the other processes must not wait
                failure = [error]
        broadcast_object_list(failure)
        if failure[0] is not None:
            raise failure[0]


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
