"""What a run reads from a data set, as digests that tell whether it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from ..registry import DATASETS
from ..utils.provenance import digest_stamps


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
        ``images``, ``masks``, ``image_labels``, and ``stores``: files that transforms read from the
        folder ``store``. Kinds that do not occur are left out.
    """
    paths: dict[str, list[str]] = {'images': [], 'masks': [], 'stores': []}
    labels = hashlib.sha1()
    labelled = False
    for base in base_datasets(dataset):
        base.full_init()
        stores = [t.store for t in base.pipeline.transforms if hasattr(t, 'store')]
        for index in range(len(base)):
            info = base.get_data_info(index)
            image = info.get('img_path', '')
            paths['images'].append(image)
            if 'seg_map_path' in info:
                paths['masks'].append(info['seg_map_path'])
            paths['stores'] += [os.path.join(s, f'{Path(image).stem}.npz') for s in stores]
            if 'image_labels' in info:
                labelled = True
                labels.update(f'{Path(image).stem} {info["image_labels"].tolist()}\n'.encode())
    found = {kind: digest_stamps(files) for kind, files in paths.items() if files}
    return {**found, 'image_labels': labels.hexdigest()} if labelled else found


def build_dataset(
    cfg: dict, made: Collection[str] = (), keep_pipeline: bool = False
) -> BaseDataset:
    """Build a data set to see what it reads.

    Args:
        cfg: Config of a data set or of a wrapper of some.
        made: Resolved folders that do not exist yet; masks in them are not looked for.
        keep_pipeline: Build the transforms, too.
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
            part['serialize_data'] = False  # it saves memory in workers, and takes half a second
            if not keep_pipeline:
                part['pipeline'] = []
        if part.get('mask_dir') and os.path.realpath(part['mask_dir']) in made:
            part['mask_dir'] = None
        return part

    return DATASETS.build(prepared(Config(dict(cfg=cfg)).to_dict()['cfg']))


def split_lines(dataset: BaseDataset) -> dict[str, tuple[str, str]]:
    """``{image id: (path, line of the split list)}`` of a data set."""
    folder = dataset.data_prefix.get('img_path') or ''
    lines = {}
    for index in range(len(dataset)):
        path = dataset.get_data_info(index)['img_path']
        name = os.path.relpath(path, folder).removesuffix(dataset.img_suffix)
        lines[Path(path).name.removesuffix(dataset.img_suffix)] = (path, name)
    return lines


def data_folders(dataset: BaseDataset) -> list[str]:
    """Folders of the images and masks of a data set."""
    prefix = dataset.data_prefix
    return [prefix[key] for key in ('img_path', 'seg_map_path') if prefix.get(key)]


def store_folders(cfg: Mapping) -> list[str]:
    """Folders of stores that the transforms in the config of a data set read."""
    parts = cfg.get('datasets') or ([cfg['dataset']] if 'dataset' in cfg else [])
    inner = [folder for part in parts for folder in store_folders(part)]
    return inner + [step['store'] for step in cfg.get('pipeline', []) if step.get('store')]
