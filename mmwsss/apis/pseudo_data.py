"""From a folder of images and class names to a data set that a network can be trained on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.utils import track_iter_progress
from PIL import Image

from ..datasets.converters.common import write_ids
from ..stages import MasksFromCAMs, run_folder
from ..stages.launch import load_config
from ..stores.cam_store import read_store, save_cam
from ..stores.label_file import write_label_file
from ..utils.checks import check_apart, check_output_folder, check_range, some
from ..utils.images import ImageFolder, scan_images
from ..utils.io import atomic_write, list_files, write_json, write_text
from ..utils.provenance import (
    RECORD,
    RESTART,
    ChangedError,
    check_claim,
    claim,
    compare_settings,
    digest_file,
    drop_leftovers,
    only_one,
    read_record,
)
from ..utils.text import read_object
from .class_names import encode_all
from .request import LABEL_THRESHOLD, and_parents, check_not_overwritten
from .results import Failure, ImageResult
from .wsss_inferencer import WSSSInferencer

# CLIP-ES: pixels whose posterior is below are not trained on.
CONFIDENCE = 0.95
_FOLDERS = ('images', 'cams', 'masks', 'network')
_NETWORK_KEYS = (
    'model.decode_head',
    'train_dataloader.dataset.pipeline',
    'test_dataloader.dataset.pipeline',
)
_LISTS = ('train.txt', 'image_labels.json', 'classes.txt')
_WRITTEN = '.lists.json'  # digests of the lists as they were written


@dataclass
class PseudoData:
    """What :func:`make_pseudo_data` has made.

    Attributes:
        ids: Images of the split.
        labels: ``{id: class names}`` of all images that could be read.
        unlabelled: Images in which no class was found; they are not in the split.
        failed: ``{path: what is wrong}``.
        left_out: A line that tells what in the folder was not taken, by kind; empty if nothing.
    """

    ids: list[str]
    labels: dict[str, list[str]]
    unlabelled: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: str = ''


def make_pseudo_data(
    inferencer: WSSSInferencer,
    image_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    image_labels: Mapping[str, Sequence[str]] | None = None,
    label_threshold: float = LABEL_THRESHOLD,
    confidence: float | None = CONFIDENCE,
    batch_size: int = 4,
    processes: int | None = None,
    restart: bool = False,
) -> PseudoData:
    """Make pseudo masks of a folder of images; images that are done are skipped.

    ``out_dir`` becomes a data set of its own: ``images/<id>.png`` (8-bit RGB, upright, at the size
    at which the model saw them), ``cams/<id>.npz`` (a CAM store), ``masks/<id>.png``,
    ``image_labels.json``, ``classes.txt`` and the split list ``train.txt``. The id is the file
    name without suffix. A file that cannot be read is left out of the split.

    ``out_dir`` remembers what it was made from: the model, the texts and all other settings, the
    folder, size and time of every picture. Pictures that are added later are done, too; if anything
    else has changed, the run is refused.

    Args:
        inferencer: Made with ``original_size=False``.
        image_dir: Folder of pictures of any kind.
        out_dir: Folder to write to; may lie in ``image_dir``.
        image_labels: ``{id: class names}``; None: CLIP predicts them, and images in which it finds
            none are left out of the split.
        label_threshold: See :class:`WSSSInferencer`.
        confidence: Pixels whose CRF posterior is below become 255; None keeps all.
        batch_size: Images per pass.
        processes: Processes of the CRF; None: one per CPU.
        restart: Throw away results of other settings or files instead of refusing.

    Raises:
        FileNotFoundError, ValueError, OSError: See :func:`check_pseudo_data`.
        ChangedError: ``out_dir`` holds results of other settings or files, or of unknown origin.
        RuntimeError: No image could be read or labelled, or the CRF of some images failed.
    """
    if inferencer.original_size:
        raise ValueError('make the inferencer with original_size=False')
    classes = inferencer.classes[1:]
    numbers = (label_threshold, confidence, batch_size, processes)
    images = check_pseudo_data(image_dir, out_dir, classes, image_labels, *numbers)
    with only_one(out_dir, 'making pseudo labels'):
        return _make(inferencer, images, Path(out_dir), image_labels, *numbers, restart)


def _make(
    inferencer: WSSSInferencer,
    images: ImageFolder,
    out_dir: Path,
    image_labels: Mapping[str, Sequence[str]] | None,
    label_threshold: float,
    confidence: float | None,
    batch_size: int,
    processes: int | None,
    restart: bool,
) -> PseudoData:
    """See :func:`make_pseudo_data`; what it was given is checked."""
    classes, sources = inferencer.classes[1:], images.found
    work = MasksFromCAMs(
        crf=dict(preset='deeplabv2'), confidence=confidence, palette=inferencer.palette
    )
    _check_masks(out_dir / 'masks', work, restart)
    if not restart:
        _check_lists(out_dir)
        _check_maps(out_dir, sources)
    settings = dict(
        images=os.path.realpath(images.folder),
        labels=label_threshold if image_labels is None else 'given',
        **inferencer.settings(),
    )
    done = _claim(out_dir, settings, sources, restart)
    if image_labels is not None:
        done = _same_labels(out_dir, done, image_labels, classes, restart)
    todo = {key: path for key, path in sources.items() if key not in done}
    _drop_masks(out_dir, todo, sources)
    chosen = None if image_labels is None else {key: image_labels[key] for key in todo}
    results = inferencer.stream(list(todo.values()), chosen, label_threshold, batch_size)
    failed = _store_all(out_dir, results, len(todo))
    labels = {
        key: [classes[i] for i in _stored_labels(out_dir, key)]
        for key, path in sources.items()
        if str(path) not in failed
    }
    _check_found(labels, failed)
    unlabelled = [key for key, names in labels.items() if not names and image_labels is None]
    ids = [key for key in labels if key not in set(unlabelled)]
    folders = (out_dir / name for name in ('cams', 'images', 'masks'))
    run_folder(work, *folders, ids, processes, restart=restart)
    print()
    _write_lists(out_dir, labels, ids, classes)
    return PseudoData(ids, labels, unlabelled, failed, images.describe_left_out())


def check_pseudo_data(
    image_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    classes: Sequence[str],
    image_labels: Mapping[str, Sequence[str]] | None = None,
    label_threshold: float = LABEL_THRESHOLD,
    confidence: float | None = CONFIDENCE,
    batch_size: int = 4,
    processes: int | None = None,
) -> ImageFolder:
    """Check what :func:`make_pseudo_data` is given, before any work and without writing anything.

    Args:
        image_dir, out_dir, image_labels, label_threshold, confidence, batch_size, processes: As
            there.
        classes: Foreground class names.

    Returns:
        The pictures of the folder, and what is left out there.

    Raises:
        FileNotFoundError: No such folder, or no picture in it.
        ValueError: A number out of its range, two pictures of one id, labels that name other
            classes or no class at all or lack an image, or results would overwrite pictures.
        OSError: Nothing can be written into ``out_dir``.
    """
    check_range('label_threshold', label_threshold, 0, 1, open_high=True)
    check_range('confidence', confidence, 0, 1)
    check_range('batch_size', batch_size, 1, integer=True)
    check_range('processes', processes, 1, integer=True)
    out_dir = Path(out_dir)
    folders = {f"the output folder's {name}": out_dir / name for name in _FOLDERS}
    folders['the output folder'] = out_dir
    check_apart(folders, {'the image folder': image_dir})
    images = scan_images(image_dir, and_parents(out_dir))
    targets = (out_dir / 'images' / f'{key}.png' for key in images.found)
    check_not_overwritten(images.found.values(), targets)
    _check_labels(image_labels, images, classes)
    for folder in folders.values():
        check_output_folder(folder)
    return images


def write_training_config(
    network: str | os.PathLike,
    data_root: str | os.PathLike,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Path:
    """Write ``<data_root>/train.py``; see :class:`TrainingConfig`."""
    return TrainingConfig(network, data_root, classes, palette).write()


class TrainingConfig:
    """``<data_root>/train.py``: a network's config for the data of :func:`make_pseudo_data`.

    Validation is left out, since there are no true masks; ``tools/test.py`` writes the network's
    own masks of the images.

    Args:
        network: Config of a network, as in ``configs/segmentation``; its heads get the number of
            classes.
        data_root: Folder of the data set.
        classes: Background first.
        palette: ``(1 + C, 3)`` RGB.

    Raises:
        FileNotFoundError: No such config.
        ValueError: It cannot be read, or is not one of a network.
    """

    def __init__(
        self,
        network: str | os.PathLike,
        data_root: str | os.PathLike,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
    ) -> None:
        root = Path(data_root).resolve()
        self.path = root / 'train.py'
        cfg = _load_network(network, len(classes))
        data = dict(
            type='mmwsss.ImageLabelDataset',
            metainfo=dict(classes=tuple(classes), palette=[list(colour) for colour in palette]),
            data_root=str(root),
            ann_file='train.txt',
            img_suffix='.png',
        )
        prefix = dict(img_path='images', seg_map_path='masks')
        train, test = (cfg[f'{mode}_dataloader'] for mode in ('train', 'test'))
        train.dataset = dict(data, data_prefix=prefix, pipeline=train.dataset.pipeline)
        reading = ('LoadAnnotations', 'mmwsss.LoadAnnotations', 'mmwsss.LoadImageLabels')
        steps = [step for step in test.dataset.pipeline if step['type'] not in reading]
        test.dataset = dict(data, data_prefix=dict(img_path='images'), pipeline=steps)
        cfg.test_pipeline = steps  # MMSegmentation's inference_model reads it
        cfg.work_dir = str(root / 'network')
        cfg.test_evaluator = dict(
            type='mmwsss.PseudoMaskWriter', output_dir=str(root / 'network' / 'masks')
        )
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        self.text = Config(cfg.to_dict()).pretty_text

    def check_kept(self, restart: bool = False) -> None:
        """Raise ChangedError if there is another ``train.py``, which would be lost."""
        if restart or not self.path.is_file():
            return
        if self.path.read_text(encoding='utf-8', errors='replace') != self.text:
            raise ChangedError(
                f'{self.path} is not what would be written now: it was edited, or the classes or '
                f'the network are others. Rename it to keep it, use another folder, {RESTART}.'
            )

    def write(self) -> Path:
        """Write it; its path."""
        write_text(self.path, self.text)
        return self.path


def _load_network(network: str | os.PathLike, num_classes: int) -> Config:
    cfg = load_config(network)
    missing = [key for key in _NETWORK_KEYS if not _holds(cfg.to_dict(), key)]
    if missing:
        raise ValueError(
            f'{network} is not a config of a network to train, as in configs/segmentation: it has '
            f'no {", ".join(missing)}'
        )
    for heads in ('decode_head', 'auxiliary_head'):
        given = cfg.model.get(heads) or []
        for head in given if isinstance(given, list) else [given]:
            head.num_classes = num_classes
    return cfg


def _holds(cfg: Mapping, key: str) -> bool:
    for name in key.split('.'):
        if not isinstance(cfg, Mapping) or name not in cfg:
            return False
        cfg = cfg[name]
    return True


def _check_labels(labels: Mapping | None, images: ImageFolder, classes: Sequence[str]) -> None:
    if labels is None:
        return
    missing = [key for key in images.found if key not in labels]
    if missing:
        raise ValueError(
            f'the image labels have no entry for {len(missing)} of {len(images.found)} images: '
            f'{some(missing)}'
        )
    names = [str(path) for path in images.found.values()]
    encoded = encode_all([labels[key] for key in images.found], classes, names)
    if not any(len(label) for label in encoded):
        raise ValueError(f'the image labels name no class for any image of {images.folder}')


def _check_masks(folder: Path, work: MasksFromCAMs, restart: bool) -> None:
    """Refuse now what :func:`run_folder` would refuse after all maps are made."""
    masks, record = list_files(folder, '.png'), folder / RECORD
    if masks and not record.is_file():
        raise ChangedError(
            f'{folder} holds {len(masks)} .png files but no {RECORD}, so it is not known what they '
            'were made from. Use another folder, or move them away.'
        )
    if not masks or restart:
        return
    settings = json.loads(json.dumps({k: v for k, v in asdict(work).items() if k != 'palette'}))
    earlier = read_record(record)['settings']
    changes = compare_settings({key: earlier.get(key) for key in settings}, settings)
    if changes:
        raise ChangedError(
            f'{folder} holds results of other settings: {some(changes)}. Use another folder, '
            f'{RESTART}.'
        )


def _claim(out_dir: Path, settings: dict, sources: Mapping[str, Path], restart: bool) -> set[str]:
    """Take the folder; the ids whose image and maps are done."""
    lists = _there(out_dir)
    if lists and not (out_dir / 'images' / RECORD).is_file():
        raise ChangedError(
            f'{out_dir} holds {", ".join(lists)} but no images/{RECORD}, so it is not known what '
            'they were made from. Use another folder, or move them away.'
        )
    inputs = {key: [path] for key, path in sources.items()}
    claims = [
        (out_dir / name, suffix, settings, inputs, restart)
        for name, suffix in (('images', '.png'), ('cams', '.npz'))
    ]
    for one in claims:
        check_claim(*one)
    done = set(inputs)
    for one in claims:
        done &= claim(*one)
        drop_leftovers(*one[:2], inputs, restart)
    if not done:
        for name in lists:
            (out_dir / name).unlink()
    return done


def _same_labels(
    out_dir: Path, done: set[str], labels: Mapping, classes: Sequence[str], restart: bool
) -> set[str]:
    """The ids whose maps are those of the given labels."""
    keys = sorted(done)
    encoded = encode_all([labels[key] for key in keys], classes, keys)
    same = {
        key
        for key, label in zip(keys, encoded, strict=True)
        if np.array_equal(_stored_labels(out_dir, key), label)
    }
    if same != done and not restart:
        raise ChangedError(
            f'{out_dir} holds results of other image labels of {len(done - same)} images '
            f'({some(sorted(done - same))}). Use another folder, {RESTART}.'
        )
    return same


def _check_lists(out_dir: Path) -> None:
    """Raise ChangedError if lists were edited since they were written, which would be lost."""
    if not (out_dir / _WRITTEN).is_file():
        return
    written = read_object(out_dir / _WRITTEN)
    edited = [name for name in _there(out_dir) if digest_file(out_dir / name) != written.get(name)]
    if edited:
        raise ChangedError(
            f'{out_dir}: {some(edited)} was edited, and would be written again. Rename it to keep '
            f'it (labels of your own are given beforehand), use another folder, {RESTART}.'
        )


def _there(out_dir: Path) -> list[str]:
    """The lists that are there."""
    return [name for name in _LISTS if (out_dir / name).is_file()]


def _check_maps(out_dir: Path, sources: Mapping[str, Path]) -> None:
    """Raise ChangedError if masks, which may have been corrected, would go for lack of maps."""
    masks = list_files(out_dir / 'masks', '.png')
    bare = [key for key in masks if key in sources and not _cam_path(out_dir, key).is_file()]
    if bare:
        raise ChangedError(
            f'{out_dir}/cams lacks the maps of {len(bare)} masks ({some(bare)}), which would be '
            f'made again. Put the maps back, use another folder, {RESTART}.'
        )


def _drop_masks(out_dir: Path, todo: Mapping[str, Path], sources: Mapping[str, Path]) -> None:
    """Remove the masks of maps that are not there or are made again."""
    for key, path in list_files(out_dir / 'masks', '.png').items():
        if key in todo or key not in sources or not _cam_path(out_dir, key).is_file():
            path.unlink()


def _check_found(labels: Mapping[str, Sequence[str]], failed: Mapping[str, str]) -> None:
    if not labels:
        reasons = '; '.join(list(failed.values())[:3])
        raise RuntimeError(f'not one of {len(failed)} images could be read: {reasons}')
    if not any(labels.values()):
        rest = f' ({len(failed)} others could not be read)' if failed else ''
        raise RuntimeError(
            f'no class was found in any of {len(labels)} images{rest}. Give clearer prompts, a '
            f'lower threshold, or image labels, and use another folder, {RESTART}.'
        )


def _cam_path(out_dir: Path, key: str) -> Path:
    return out_dir / 'cams' / f'{key}.npz'


def _store_all(
    out_dir: Path, results: Iterator[ImageResult | Failure], count: int
) -> dict[str, str]:
    """Write what comes; ``{path: what is wrong}`` of the images that cannot be read."""
    failed = {}
    if count:
        for result in track_iter_progress((results, count)):
            if isinstance(result, Failure):
                failed[result.name] = result.message
            else:
                _store(out_dir, result)
        print()
    return failed


def _store(out_dir: Path, result: ImageResult) -> None:
    """The image first: where there are maps, there is an image."""
    with atomic_write(out_dir / 'images' / f'{result.name}.png') as tmp:
        Image.fromarray(result.image).save(tmp)
    size = result.image.shape[:2]
    scores = None if result.scores is None else result.scores[result.labels]
    save_cam(_cam_path(out_dir, result.name), result.labels, result.cams, size, scores)


def _write_lists(
    out_dir: Path, labels: Mapping[str, Sequence[str]], ids: Sequence[str], classes: Sequence[str]
) -> None:
    (out_dir / _WRITTEN).unlink(missing_ok=True)
    write_label_file(out_dir / 'image_labels.json', labels)
    write_ids(out_dir / 'train.txt', ids)
    write_text(out_dir / 'classes.txt', ''.join(f'{name}\n' for name in classes))
    digests = {name: digest_file(out_dir / name) for name in _there(out_dir)}
    write_json(out_dir / _WRITTEN, digests)


def _stored_labels(out_dir: Path, key: str) -> np.ndarray:
    return read_store(_cam_path(out_dir, key), ('labels',))['labels']
