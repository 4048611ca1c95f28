"""From a folder of images and class names to a data set that a network can be trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.utils import track_iter_progress
from PIL import Image

from ..datasets.cam_store import read_store, save_cam
from ..datasets.converters.common import write_ids
from ..datasets.label_file import write_label_file
from ..utils.images import list_images
from ..utils.io import atomic_write
from .crf_folder import MasksFromCAMs, crf_folder
from .launch import load_config
from .wsss_inferencer import LABEL_THRESHOLD, Failure, ImageResult, WSSSInferencer

# CLIP-ES: pixels whose posterior is below are not trained on.
CONFIDENCE = 0.95
_SETTINGS = 'settings.json'


@dataclass
class PseudoData:
    """What :func:`make_pseudo_data` has made.

    Attributes:
        ids: Images of the split.
        labels: ``{id: class names}`` of all images that could be read.
        unlabelled: Images in which no class was found; they are not in the split.
        failed: ``{path: what is wrong}``.
    """

    ids: list[str]
    labels: dict[str, list[str]]
    unlabelled: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def make_pseudo_data(
    inferencer: WSSSInferencer,
    image_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    image_labels: Mapping[str, Sequence[str]] | None = None,
    label_threshold: float = LABEL_THRESHOLD,
    confidence: float | None = CONFIDENCE,
    batch_size: int = 4,
    processes: int | None = None,
) -> PseudoData:
    """Make pseudo masks of a folder of images; images that are done are skipped.

    ``out_dir`` becomes a data set of its own: ``images/<id>.png`` (8-bit RGB, upright, at the size
    at which the model saw them), ``cams/<id>.npz`` (a CAM store), ``masks/<id>.png``,
    ``image_labels.json``, ``classes.txt`` and the split list ``train.txt``. The id is the file
    name without suffix. A file that cannot be read is left out of the split.

    Args:
        inferencer: Made with ``original_size=False``.
        image_dir: Folder of pictures of any kind.
        out_dir: Folder to write to. It remembers the settings and refuses to go on with others.
        image_labels: ``{id: class names}``; None: CLIP predicts them, and images in which it finds
            none are left out of the split.
        label_threshold: See :class:`WSSSInferencer`.
        confidence: Pixels whose CRF posterior is below become 255; None keeps all.
        batch_size: Images per pass.
        processes: Processes of the CRF; None: one per CPU.

    Raises:
        FileNotFoundError: No such folder, or no picture in it.
        ValueError: Two files of one id, unknown class names in the labels, images without entry
            there, another picture size asked for, or ``out_dir`` holds results of other settings.
        RuntimeError: No image could be labelled, or the CRF of some images failed.
    """
    if inferencer.original_size:
        raise ValueError('make the inferencer with original_size=False')
    out_dir = Path(out_dir)
    sources = _sources_by_id(image_dir)
    _check_labels(image_labels, sources)
    labels_digest = hashlib.sha1(json.dumps(image_labels, sort_keys=True).encode()).hexdigest()
    text = inferencer.cfg.model.text
    _remember(
        out_dir,
        model=inferencer.cfg.filename,
        classes=dict(zip(inferencer.classes[1:], text.class_names, strict=True)),
        background=list(text.background_names),
        templates=list(text.templates),
        max_side=inferencer.max_side,
        labels=label_threshold if image_labels is None else labels_digest,
    )
    todo = {key: path for key, path in sources.items() if not _cam_path(out_dir, key).is_file()}
    chosen = None if image_labels is None else {key: image_labels[key] for key in todo}
    failed = {}
    if todo:
        results = inferencer.stream(list(todo.values()), chosen, label_threshold, batch_size)
        for result in track_iter_progress((results, len(todo))):
            if isinstance(result, Failure):
                failed[result.name] = result.message
            else:
                _store(out_dir, result)
        print()
    labels = {
        key: [inferencer.classes[i + 1] for i in _stored_labels(out_dir, key)]
        for key in sources
        if _cam_path(out_dir, key).is_file()
    }
    unlabelled = [key for key, names in labels.items() if not names and image_labels is None]
    ids = [key for key in labels if key not in set(unlabelled)]
    if not any(labels.values()):
        raise RuntimeError(
            f'no class was found in any of {len(labels)} images ({len(failed)} could not be read'
            f'{"".join(f"; {m}" for m in list(failed.values())[:3])}). Give clearer prompts, a '
            'lower threshold, or image labels.'
        )
    work = MasksFromCAMs(
        crf=dict(preset='deeplabv2'), confidence=confidence, palette=inferencer.palette
    )
    crf_folder(work, out_dir / 'cams', out_dir / 'images', out_dir / 'masks', ids, processes)
    print()
    write_label_file(out_dir / 'image_labels.json', labels)
    write_ids(out_dir / 'train.txt', ids)
    with atomic_write(out_dir / 'classes.txt') as tmp:
        tmp.write_text(''.join(f'{name}\n' for name in inferencer.classes[1:]), encoding='utf-8')
    return PseudoData(ids, labels, unlabelled, failed)


def write_training_config(
    network: str | os.PathLike,
    data_root: str | os.PathLike,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Path:
    """Write ``<data_root>/train.py``: a network's config for the data of :func:`make_pseudo_data`.

    Validation is left out, since there are no true masks; ``tools/test.py`` writes the network's
    own masks of the images.

    Args:
        network: Config of a network, as in ``configs/segmentation``; its heads get the number of
            classes.
        data_root: Folder of the data set.
        classes: Background first.
        palette: ``(1 + C, 3)`` RGB.

    Returns:
        Path of the config.

    Raises:
        FileNotFoundError: No such config.
    """
    data_root = Path(data_root).resolve()
    cfg = load_config(network)
    for heads in ('decode_head', 'auxiliary_head'):
        given = cfg.model.get(heads) or []
        for head in given if isinstance(given, list) else [given]:
            head.num_classes = len(classes)
    data = dict(
        type='mmwsss.ImageLabelDataset',
        metainfo=dict(classes=tuple(classes), palette=[list(colour) for colour in palette]),
        data_root=str(data_root),
        ann_file='train.txt',
        img_suffix='.png',
    )
    prefix = dict(img_path='images', seg_map_path='masks')
    cfg.train_dataloader.dataset = dict(data, data_prefix=prefix, pipeline=cfg.train_pipeline)
    reading = ('LoadAnnotations', 'mmwsss.LoadImageLabels')
    cfg.test_pipeline = [step for step in cfg.test_pipeline if step['type'] not in reading]
    cfg.test_dataloader.dataset = dict(
        data, data_prefix=dict(img_path='images'), pipeline=cfg.test_pipeline
    )
    cfg.work_dir = str(data_root / 'network')
    cfg.test_evaluator = dict(
        type='mmwsss.PseudoMaskWriter', output_dir=str(data_root / 'network' / 'masks')
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    path = data_root / 'train.py'
    with atomic_write(path) as tmp:
        Config(cfg.to_dict()).dump(tmp)
    return path


def _sources_by_id(image_dir: str | os.PathLike) -> dict[str, Path]:
    sources: dict[str, Path] = {}
    for path in list_images(image_dir):
        if sources.setdefault(path.stem, path) != path:
            raise ValueError(
                f'{sources[path.stem]} and {path} have the same image id {path.stem!r}; rename one'
            )
    return sources


def _check_labels(labels: Mapping | None, sources: Mapping[str, Path]) -> None:
    missing = [key for key in sources if labels is not None and key not in labels]
    if missing:
        raise ValueError(
            f'the image labels have no entry for {len(missing)} of {len(sources)} images: '
            f'{", ".join(missing[:5])}'
        )


def _remember(out_dir: Path, **settings) -> None:
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    path = out_dir / _SETTINGS
    if path.is_file() and path.read_text(encoding='utf-8') != text:
        raise ValueError(
            f'{out_dir} holds results of other settings ({path}). Use another folder, or remove it.'
        )
    with atomic_write(path) as tmp:
        tmp.write_text(text, encoding='utf-8')


def _cam_path(out_dir: Path, key: str) -> Path:
    return out_dir / 'cams' / f'{key}.npz'


def _store(out_dir: Path, result: ImageResult) -> None:
    """The image first: where there are maps, there is an image."""
    with atomic_write(out_dir / 'images' / f'{result.name}.png') as tmp:
        Image.fromarray(result.image).save(tmp)
    size = result.image.shape[:2]
    save_cam(_cam_path(out_dir, result.name), result.labels, result.cams, size)


def _stored_labels(out_dir: Path, key: str) -> np.ndarray:
    return read_store(_cam_path(out_dir, key), ('labels',))['labels']
