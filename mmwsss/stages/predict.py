"""Writing what a model predicts for a split: every file once, none of another origin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from ..datasets.image_label import ImageLabelDataset
from ..datasets.inputs import (
    build_dataset,
    check_not_searched,
    data_folders,
    dataset_inputs,
    image_inputs,
    narrow,
    source_folders,
)
from ..models.utils.model_files import digest_named_files
from ..ops.dense_crf import crf_parameters
from ..registry import DATASETS, METRICS, MODELS
from ..utils.checks import check_apart, check_choice, check_output_folder, some
from ..utils.io import is_whole, list_files
from ..utils.provenance import check_claim, claim, digest_file, drop_leftovers, only_one
from .launch import Launch, load_config

WRITERS = {'cams': 'mmwsss.CAMStoreWriter', 'masks': 'mmwsss.PseudoMaskWriter'}
NO_CHECKPOINT = 'none'
_NO_SETTINGS = ('type', 'output_dir', 'prefix', 'claimed')  # of writers; the rest shapes the files
_WHAT = 'writing pseudo masks'


def make_pseudo_masks(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike | None,
    split: str | None = None,
    out: str | os.PathLike | None = None,
    write: Sequence[str] = ('masks',),
    predict: str | None = None,
    tta: bool = False,
    crf: str | None = None,
    cfg_options: dict | None = None,
    launch: Launch | None = None,
    restart: bool = False,
) -> dict[str, str]:
    """Write pseudo masks or maps of a split by a trained model; images that are done are skipped.

    The folders remember the model, its weights and the data that they are made from, and are not
    continued with others.

    Args:
        config: Config of the model.
        checkpoint: Its weights; None for models without trainable weights, ``'none'`` for a model
            as it is built.
        split, predict, tta, crf: See :func:`set_prediction`.
        out: Files go to ``<out>/cams`` and ``<out>/masks``; None: the work folder of the config.
        write: ``'masks'``, ``'cams'`` or both.
        cfg_options: Values to change in the config, keys with dots.
        launch: How processes are started.
        restart: Throw files of other settings away instead of refusing.

    Returns:
        ``{kind: folder}``.

    Raises:
        FileNotFoundError: Config, checkpoint or data are missing.
        ValueError: Arguments that do not suit the config, or a folder of other origin.
        RuntimeError: The model could not be tested, or left files out.
    """
    cfg = load_config(config, cfg_options)
    given = checkpoint is not None and str(checkpoint) != NO_CHECKPOINT
    if given and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'Checkpoint {checkpoint} does not exist.')
    out = Path(cfg.work_dir if out is None else out)
    folders = {kind: str(out / kind) for kind in write}
    set_prediction(cfg, folders, split, predict, tta, crf)
    dataset = build_dataset(cfg.test_dataloader.dataset)
    settings = prediction_settings(cfg, checkpoint if given else None, dataset)
    weights = [] if checkpoint is None else [str(checkpoint)]

    def run(narrowed: Config) -> None:
        tool = ('test.py', narrowed, out / 'predict.py', *weights, '--work-dir', str(out))
        (launch or Launch()).run(_WHAT, *tool)

    with only_one(out, _WHAT):
        write_missing(_WHAT, cfg, settings, out / 'left.txt', run, restart)
    return folders


def prediction_settings(
    cfg: Config, checkpoint: str | os.PathLike | None, dataset: BaseDataset
) -> dict[str, Any]:
    """All that what a test writes depends on, beside the images.

    Args:
        cfg: The config, as it is run.
        checkpoint: A file or an address; None: the model as it is built.
        dataset: Its test data set.
    """
    parts = dict(model=cfg.model.to_dict(), dataset=cfg.test_dataloader.dataset.to_dict())
    (parts['model'].get('test_cfg') or {}).pop('with_cam', None)  # for pictures alone
    inputs = dataset_inputs(dataset)
    return dict(
        **parts,
        image_labels=inputs.get('image_labels'),
        classes=inputs['classes'],
        named=digest_named_files(parts),
        weights=_digest_weights(checkpoint),
    )


def _digest_weights(checkpoint: str | os.PathLike | None) -> str:
    if checkpoint is None:
        return NO_CHECKPOINT
    return digest_file(checkpoint) if Path(checkpoint).is_file() else str(checkpoint)  # an address


def set_prediction(
    cfg: Config,
    write: Mapping[str, str] | None = None,
    split: str | None = None,
    predict: str | None = None,
    tta: bool = False,
    crf: str | None = None,
) -> None:
    """Make the test of a config write files, and nothing else; true masks are out of its reach.

    Args:
        cfg: A config; it is modified.
        write: ``{'cams': folder, 'masks': folder}``, one or both; None: what the writers among the
            test evaluators write.
        split: Of the test data set; None: as it is.
        predict: ``test_cfg.predict``: ``'cam'`` for the classes in the image labels or ``'seg'``
            without looking at them; None: ``'cam'`` where ``write`` is given and the model can.
        tta, crf: See :func:`enable_tta_and_crf`.

    Raises:
        ValueError: Something of it does not suit the config.
    """
    if write is not None:
        _set_writers(cfg, write)
        _set_predict(cfg, predict, write)
    elif predict is not None:
        _set_predict(cfg, predict, {})
    _set_dataset(cfg, split)
    enable_tta_and_crf(cfg, tta, crf)
    cfg.test_evaluator = [e for e in as_list(cfg.test_evaluator) if is_writer(e)]
    if not cfg.test_evaluator:
        raise ValueError(
            f'test_evaluator of {cfg.filename} holds no writer ({", ".join(WRITERS.values())}), so '
            'there is nothing to predict: say what to write'
        )
    if settings := _settings_type(cfg):
        settings.parse(cfg.model.get('test_cfg') or {}, cfg.model.type)


def _set_writers(cfg: Config, write: Mapping[str, str]) -> None:
    for kind in write:
        check_choice('write', kind, WRITERS)
    given = {evaluator['type']: evaluator for evaluator in as_list(cfg.test_evaluator)}
    cfg.test_evaluator = [
        {**given.get(WRITERS[kind], {}), 'type': WRITERS[kind], 'output_dir': write[kind]}
        for kind in write
    ]


def _set_predict(cfg: Config, predict: str | None, write: Mapping[str, str]) -> None:
    """``test_cfg.predict``, which stock segmentors of MMSegmentation do not have."""
    settings = _settings_type(cfg)
    choices = ('seg',) if settings is None else settings.predict_choices
    usual = 'seg' if settings is None else settings.masks_by
    chosen = predict or (usual if usual in choices else choices[0])
    check_choice(f'predict of {cfg.model.type}', chosen, choices)
    if 'cams' in write and chosen != 'cam':
        raise ValueError(f"{cfg.model.type} gives maps with predict='cam' only: write masks alone")
    if settings is not None:
        cfg.merge_from_dict({'model.test_cfg.predict': chosen})


def _set_dataset(cfg: Config, split: str | None) -> None:
    dataset = cfg.test_dataloader.dataset
    if 'dataset' in dataset or 'datasets' in dataset:
        raise ValueError(
            f'test_dataloader.dataset of {cfg.filename} is a {dataset.type}: files are written for '
            'the images of one data set; name it without a wrapper'
        )
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    kind = DATASETS.get(dataset.type)
    ours = kind is not None and issubclass(kind, ImageLabelDataset)
    if split is not None:
        if not ours or split not in kind.SPLITS:
            known = ', '.join(kind.SPLITS) if ours else ''
            raise ValueError(
                f'test_dataloader.dataset of {cfg.filename} ({dataset.type}) has no split '
                f'{split!r}; it has {known or "none"}. Own data are named by ann_file and '
                'data_prefix: leave the split out.'
            )
        dataset.split = split
    if ours:
        dataset.masks = False
        if dataset.get('data_prefix'):
            dataset.data_prefix.pop('seg_map_path', None)
        steps = dataset.get('pipeline', [])
        dataset.pipeline = [s for s in steps if not s.get('type', '').endswith('LoadAnnotations')]


def enable_tta_and_crf(cfg: Config, tta: bool = False, crf: str | None = None) -> None:
    """Change the test of a config as ``--tta`` and ``--crf`` say.

    Args:
        cfg: A config; it is modified.
        tta: Test-time augmentation: ``tta_cfg``, merged into ``model.test_cfg``, or else mmseg's
            ``tta_model`` and ``tta_pipeline``.
        crf: Preset of :data:`mmwsss.ops.dense_crf.PRESETS`; the CRF is in ``test_cfg`` of our
            segmentors and around those of mmseg.

    Raises:
        ValueError: The config has no test-time augmentation, the preset is unknown, or the model
            gives maps, no segmentation that a CRF could refine.
    """
    if tta:
        _enable_tta(cfg)
    if crf is not None:
        _enable_crf(cfg, crf, wrapped_by_tta=tta and 'tta_cfg' not in cfg)


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


def _enable_crf(cfg: Config, preset: str, wrapped_by_tta: bool) -> None:
    crf_parameters(preset)  # an unknown name is an error before anything is built
    test_cfg = cfg.model.get('test_cfg') or {}
    settings = _settings_type(cfg)
    if settings is not None:
        kind = MODELS.get(cfg.model.type)
        maps = test_cfg.get('predict', settings.predict) == 'cam'
        if not kind.crf_in_test_cfg or (maps and 'crf' in settings.seg_only):
            raise ValueError(
                f"--crf refines segmentations, but {cfg.model.type} gives maps with predict='cam': "
                'write them and run tools/dense_crf.py on their folder'
            )
        cfg.model.test_cfg = {**test_cfg, 'crf': {**(test_cfg.get('crf') or {}), 'preset': preset}}
        return
    scores = 'probabilities' if wrapped_by_tta else 'logits'
    cfg.model = dict(
        type='mmwsss.DenseCRFModel', module=cfg.model, crf=dict(preset=preset), scores=scores
    )


def _settings_type(cfg: Config) -> type | None:
    """:class:`mmwsss.models.segmentors.base.TestSettings` of our segmentors, None for others."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return getattr(MODELS.get(cfg.model.type), 'settings_type', None)


def write_missing(
    what: str,
    cfg: Config,
    settings: Mapping[str, Any],
    left_list: Path,
    run: Callable[[Config], None],
    restart: bool = False,
) -> None:
    """Test a config of :func:`set_prediction` on the images whose files are missing.

    All processes get one list of them, written before they start.

    Args:
        what: Is done, for messages.
        cfg: The config; it is modified.
        settings: What the files depend on beside the images and what earlier stages left of them.
        left_list: Where the list is written.
        run: Tests a config.
        restart: Throw files of other settings away instead of refusing.

    Raises:
        ChangedError: A folder holds files of another origin, or of other images.
        OSError: A folder cannot be written to.
        ValueError: A folder is one of those that are read, or two writers have the same.
        RuntimeError: Files are missing at the end.
    """
    dataset = build_dataset(cfg.test_dataloader.dataset)
    images = image_inputs(dataset)
    check_outputs(cfg, dataset)
    left = claim_outputs(cfg.test_evaluator, settings, images, restart)
    if left:
        narrow(cfg.test_dataloader.dataset, dataset, left, left_list)
        for writer in cfg.test_evaluator:
            writer.claimed = True
        run(cfg)
    for folder, suffix in outputs(cfg).items():
        files = list_files(folder, suffix)
        missing = [key for key in images if key not in files or not is_whole(files[key])]
        if missing:
            raise RuntimeError(
                f'{what} has left no {suffix} file in {folder} for {len(missing)} of '
                f'{len(images)} images: {some(missing)}. Run the same again.'
            )


def claim_outputs(
    writers: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    images: Mapping[str, Sequence[str]],
    restart: bool = False,
) -> set[str]:
    """Take the folders of writers, all or none; see :func:`mmwsss.utils.provenance.claim`.

    Args:
        writers: Configs of evaluators that write files.
        settings: What the files depend on beside the images and the writer itself.
        images: ``{image id: files it is made from}``; the folders may hold no others.
        restart: Throw files of other settings and images away instead of refusing.

    Returns:
        The ids that some folder has no file of.

    Raises:
        ChangedError: A folder holds files of another origin, or of other images.
    """
    claims = []
    for writer in writers:
        folder, suffix = writer['output_dir'], METRICS.get(writer['type']).extension
        own = {key: value for key, value in writer.items() if key not in _NO_SETTINGS}
        claims.append((folder, suffix, {**settings, **own}, images, restart))
    for one in claims:
        check_claim(*one)
    left: set[str] = set()
    for one in claims:
        left |= set(images) - claim(*one)
        drop_leftovers(*one[:2], images, restart)
    return left


def check_outputs(cfg: Config, dataset: BaseDataset | None = None, **others: Any) -> None:
    """Nothing that a test writes overwrites what is read or what another writer writes.

    Args:
        cfg: The config.
        dataset: Its test data set; None: folders of images and masks are not looked at.
        others: Further folders that are written to, by the name of their option.

    Raises:
        OSError: A folder cannot be written to.
        ValueError: A folder is one of those that are read, lies among the images that are searched
            for, or is written to twice.
    """
    writers = [e for e in as_list(cfg.get('test_evaluator') or []) if is_writer(e)]
    written = [(f'output_dir of {w["type"]}', w['output_dir']) for w in writers]
    written += others.items()
    part = (cfg.get('test_dataloader') or {}).get('dataset', {})
    read = {name: folder for folder, name in data_folders(part).items()}
    if dataset is not None:
        read.update({f'the data ({folder})': folder for folder in source_folders(dataset)})
        check_not_searched(dataset, [folder for _, folder in written])
    for index, (name, folder) in enumerate(written):
        check_apart({name: folder}, {**read, **dict(written[:index])})
        check_output_folder(folder)


def outputs(cfg: Config) -> dict[str, str]:
    """``{folder: suffix}`` of what the writers among the test evaluators write."""
    writers = [e for e in as_list(cfg.test_evaluator) if is_writer(e)]
    return {writer['output_dir']: METRICS.get(writer['type']).extension for writer in writers}


def as_list(evaluators: dict | list[dict]) -> list[dict]:
    """Evaluators of a config, which may be one."""
    return evaluators if isinstance(evaluators, list) else [evaluators]


def is_writer(evaluator: dict) -> bool:
    """Whether an evaluator writes a file per image."""
    return hasattr(METRICS.get(evaluator['type']), 'extension')
