"""What a run reads from a data set, as digests that tell whether it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from ..registry import DATASETS
from ..utils.io import write_text
from ..utils.provenance import digest_stamps
from .image_label import STORES, ImageLabelDataset, image_id

_MADE = ('mask_dir', *STORES)
_STORED = tuple(f'{key.removesuffix("_dir")}_path' for key in STORES)


def base_datasets(dataset: Any) -> list[BaseDataset]:
    """The data sets inside of wrappers that repeat or join them."""
    if hasattr(dataset, 'datasets'):
        return [base for part in dataset.datasets for base in base_datasets(part)]
    if hasattr(dataset, 'dataset'):
        return base_datasets(dataset.dataset)
    return [dataset] if hasattr(dataset, 'get_data_info') else []


def dataset_inputs(dataset: Any) -> dict[str, str]:
    """Digests of the names, sizes and times of all files of a data set, and of its image labels.

    Args:
        dataset: A built data set, or a wrapper of some.

    Returns:
        ``images``, ``masks``, ``image_labels``, and ``stores``: files of ``cam_dir``,
        ``score_dir`` and ``saliency_dir``; ``classes``, the names in their order. Kinds that do
        not occur are left out.
    """
    paths: dict[str, list[str]] = {'images': [], 'masks': [], 'stores': []}
    labels, classes = hashlib.sha1(), hashlib.sha1()
    labelled = False
    for base in base_datasets(dataset):
        base.full_init()
        classes.update(f'{list(base.metainfo.get("classes") or [])}\n'.encode())
        for index in range(len(base)):
            info = base.get_data_info(index)
            image = info.get('img_path', '')
            paths['images'].append(image)
            if 'seg_map_path' in info:
                paths['masks'].append(info['seg_map_path'])
            paths['stores'] += [info[key] for key in _STORED if key in info]
            if 'image_labels' in info:
                labelled = True
                labels.update(f'{Path(image).stem} {info["image_labels"].tolist()}\n'.encode())
    found = {kind: digest_stamps(files) for kind, files in paths.items() if files}
    found['classes'] = classes.hexdigest()
    return {**found, 'image_labels': labels.hexdigest()} if labelled else found


def build_dataset(cfg: dict, made: Collection[str] = ()) -> BaseDataset:
    """Build a data set, without its transforms, to see what it reads.

    Args:
        cfg: Config of a data set or of a wrapper of some.
        made: Resolved folders that do not exist yet; what lies in them is not looked for.
    """
    init_default_scope('mmseg')

    def prepared(part: dict) -> dict:
        part = dict(part)
        for key in ('dataset', 'datasets'):
            if key in part:
                inner = part[key]
                part[key] = (
                    prepared(inner) if isinstance(inner, dict) else list(map(prepared, inner))
                )
        if 'pipeline' in part:
            # Serialized data save memory in workers, and take half a second.
            part.update(pipeline=[], serialize_data=False)
        for key in _MADE:
            if part.get(key) and os.path.realpath(part[key]) in made:
                part[key] = None
        return part

    return DATASETS.build(prepared(Config(dict(cfg=cfg)).to_dict()['cfg']))


def image_inputs(dataset: BaseDataset) -> dict[str, list[str]]:
    """``{image id: [image, files of earlier stages]}`` of a data set.

    Raises:
        ValueError: Two images have one id; names both.
    """
    found: dict[str, list[str]] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        files = [info[key] for key in ('img_path', *_STORED) if key in info]
        if found.setdefault(image_id(files[0]), files) is not files:
            raise ValueError(
                f'{found[image_id(files[0])][0]} and {files[0]} have the same image id '
                f'{image_id(files[0])!r}: one folder holds one file per id, rename one of them'
            )
    return found


def narrow(cfg: dict, dataset: BaseDataset, ids: Collection[str], path: Path) -> None:
    """Let the config of a data set name only some of its images.

    Args:
        cfg: Is modified.
        dataset: As built from it.
        ids: The images that stay.
        path: Where a list of them is written.
    """
    images = {key: files[0] for key, files in image_inputs(dataset).items() if key in ids}
    if isinstance(dataset, ImageLabelDataset):
        argument, lines = 'ids', list(images)
    else:
        folder = dataset.data_prefix.get('img_path') or ''
        relative = (os.path.relpath(image, folder) for image in images.values())
        argument, lines = 'ann_file', [name.removesuffix(dataset.img_suffix) for name in relative]
    write_text(path, ''.join(f'{line}\n' for line in lines))
    cfg.update({argument: str(path.resolve()), 'indices': None})


def data_folders(cfg: Mapping) -> dict[str, str]:
    """``{folder: key}`` of what earlier stages have made, in the config of a data set."""
    parts = cfg.get('datasets') or ([cfg['dataset']] if 'dataset' in cfg else [])
    found = {cfg[key]: key for key in _MADE if cfg.get(key)}
    for part in parts:
        found.update(data_folders(part))
    return found


def check_not_searched(dataset: Any, folders: Iterable[str]) -> None:
    """Raise ValueError if what is written would be found as images of a data set.

    Args:
        dataset: Built; without a split list, its image folder is searched with all subfolders.
        folders: Those that are written to.
    """
    for base in base_datasets(dataset):
        image_dir = base.data_prefix.get('img_path')
        if base.ann_file or not image_dir:
            continue
        for folder in folders:
            if Path(os.path.realpath(image_dir)) in Path(os.path.realpath(folder)).parents:
                raise ValueError(
                    f'it writes to {folder}, which lies in the image folder {image_dir}: without '
                    'a split list (ann_file), its subfolders are searched for images. Choose '
                    'another folder.'
                )


def source_folders(dataset: Any) -> list[str]:
    """Folders of the images and masks of a built data set."""
    prefixes = [base.data_prefix for base in base_datasets(dataset)]
    keys = ('img_path', 'seg_map_path')
    return [prefix[key] for prefix in prefixes for key in keys if prefix.get(key)]
