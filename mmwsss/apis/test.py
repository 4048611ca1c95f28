"""Testing from a config."""

import os

from mmengine.config import Config

from ..ops.dense_crf import crf_parameters
from .launch import build_runner, check_writable


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
        checkpoint: Its keys must be exactly those of the model. None tests the model as built, for
            methods without training.
        tta: Test-time augmentation: ``tta_cfg`` of the config, merged into ``model.test_cfg``,
            or else mmseg's ``tta_model`` and ``tta_pipeline``.
        crf: Preset of :data:`mmwsss.ops.dense_crf.PRESETS`: refine the predictions by a dense CRF.
        out: Folder for the predicted label maps.
        show: Show each prediction in a window for ``wait_time`` seconds.
        show_dir: Folder for a panel per image (image, cam, pseudo mask, prediction, truth).

    Returns:
        The metrics.

    Raises:
        OSError: A folder is not writable; raised before anything is built.
        ValueError: ``tta`` or ``crf`` does not suit the config.
        RuntimeError: The checkpoint does not fit the model.
    """
    for folder in (out, show_dir):
        if folder is not None:
            check_writable(folder)
    cfg.load_from, cfg.resume = (None if checkpoint is None else str(checkpoint)), False
    if out is not None:
        writer = dict(type='mmwsss.PseudoMaskWriter', output_dir=str(out))
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [*(metrics if isinstance(metrics, list) else [metrics]), writer]
    if show:
        cfg.default_hooks.visualization = dict(
            type='SegVisualizationHook', draw=True, show=True, wait_time=wait_time
        )
    if show_dir is not None:
        panels = dict(type='mmwsss.PanelVisualizationHook', out_dir=str(show_dir))
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), panels]
        cfg.merge_from_dict({'model.test_cfg.with_cam': True})
    if tta:
        _enable_tta(cfg)
    if crf is not None:
        _enable_crf(cfg, crf)
    return build_runner(cfg).test()


test_from_cfg.__test__ = False  # not a test, whatever pytest concludes from its name


def _enable_crf(cfg: Config, preset: str) -> None:
    crf_parameters(preset)  # an unknown name is an error before anything is built
    if cfg.model.get('test_cfg', {}).get('mode') == 'cam':
        raise ValueError(
            "--crf refines predictions of a segmentation network, not maps (test_cfg.mode='cam'): "
            'write the maps and run tools/dense_crf.py on their folder'
        )
    cfg.model = dict(type='mmwsss.DenseCRFModel', module=cfg.model, crf=dict(preset=preset))


def _enable_tta(cfg: Config) -> None:
    if 'tta_cfg' in cfg:
        cfg.merge_from_dict({f'model.test_cfg.{k}': v for k, v in cfg.tta_cfg.items()})
    elif 'tta_model' in cfg and 'tta_pipeline' in cfg:
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)
    else:
        raise ValueError(
            f'--tta: the config {cfg.filename or ""} has neither tta_cfg (scales and flip for '
            'model.test_cfg) nor tta_model with tta_pipeline. Add one of them.'
        )
