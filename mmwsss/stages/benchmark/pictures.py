"""A few val images that all methods segment, to look at side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from ...datasets.converters.common import read_ids
from ...datasets.image_label import image_id
from ...datasets.inputs import build_dataset, image_inputs, narrow
from ...stores.palettes import colour_table, voc_palette
from ...utils.images import find_images
from ...utils.io import list_files
from ...utils.provenance import as_json, only_one
from ..config_stages import ConfigStage, TestStage
from ..folder_stages import EvaluateStage
from ..pipeline import Pipeline
from ..predict import set_prediction, write_missing
from ..stage import Stage

COUNT = 10


@dataclass(frozen=True)
class Samples:
    """The images, chosen by their place in the split alone.

    Attributes:
        images: ``{image id: file}``.
        truths: True masks, likewise, as far as there are some.
        classes: Names of the mask values, background first; may be empty.
        colours: ``(256, 3)`` uint8 RGB of the mask values.
    """

    images: dict[str, Path]
    truths: dict[str, Path]
    classes: Sequence[str]
    colours: np.ndarray


def spread(ids: Sequence[str], count: int = COUNT) -> list[str]:
    """As many ids as are wanted, at equal distances; all if there are fewer."""
    places = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
    return [ids[place] for place in places]


def write_pictures(pipeline: Pipeline, name: str, root: Path) -> None:
    """Write what a test stage predicts for the images, if it is one; what is done is skipped.

    Raises:
        OSError, RuntimeError, ValueError: See :func:`mmwsss.stages.predict.write_missing`.
    """
    stage = _stage(pipeline, name)
    if not isinstance(stage, TestStage):
        return  # its masks lie in a folder already
    cfg, out = stage.config(), root / 'pictures' / name
    set_prediction(cfg, {'masks': str(out)}, predict='seg')
    dataset = build_dataset(cfg.test_dataloader.dataset)
    chosen = spread(list(image_inputs(dataset)))
    work = pipeline.records / f'{name}_pictures'
    narrow(cfg.test_dataloader.dataset, dataset, chosen, work / 'images.txt')
    settings = as_json(stage.depends())

    def run(narrowed: Config) -> None:
        arguments = (stage.weights(), '--work-dir', str(work))
        tool = ('test.py', narrowed, work / 'predict.py', *arguments)
        pipeline.context.launch.run('predicting pictures', *tool)

    with only_one(work, 'these pictures'):
        write_missing('predicting pictures', cfg, settings, work / 'left.txt', run, restart=True)


def predicted(pipeline: Pipeline, name: str, root: Path) -> dict[str, Path]:
    """Masks of a stage that is judged, by image id; empty if they were not kept."""
    stage = _stage(pipeline, name)
    if isinstance(stage, EvaluateStage):
        return list_files(stage.spec['predictions'], '.png')
    return list_files(root / 'pictures' / name, '.png')


def samples(pipeline: Pipeline, name: str) -> Samples:
    """The images of a stage that is judged.

    Raises:
        FileNotFoundError, OSError, ValueError: The data are not there, or not as they should be.
    """
    stage = _stage(pipeline, name)
    if isinstance(stage, ConfigStage):
        dataset = build_dataset(stage.loaded.test_dataloader.dataset)
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        infos = {image_id(info['img_path']): info for info in infos}
        ids = spread(list(infos))
        images = {key: Path(infos[key]['img_path']) for key in ids}
        truths = {k: Path(infos[k]['seg_map_path']) for k in ids if 'seg_map_path' in infos[k]}
        return Samples(images, truths, *_look(dataset))
    ids = spread(read_ids(stage.spec['split']))
    truths = {key: Path(stage.spec['truth'], f'{key}.png') for key in ids}
    images, dataset = _sources(pipeline, stage, ids)
    return Samples(images, truths, *_look(dataset))


def _sources(
    pipeline: Pipeline, judged: Stage, ids: Sequence[str]
) -> tuple[dict[str, Path], BaseDataset | None]:
    """The images that the predictions of an ``evaluate`` stage were made from."""
    folder = os.path.realpath(judged.spec['predictions'])
    for stage in pipeline.stages:
        if folder not in map(os.path.realpath, stage.outputs()):
            continue
        if 'images' in stage.spec:
            return find_images(stage.spec['images'], ids), None
        dataset = build_dataset(stage.loaded.test_dataloader.dataset)
        files = image_inputs(dataset)
        return {key: Path(files[key][0]) for key in ids}, dataset
    raise ValueError(f'no stage of {pipeline.path} makes {judged.spec["predictions"]}')


def _look(dataset: BaseDataset | None) -> tuple[Sequence[str], np.ndarray]:
    meta = {} if dataset is None else dataset.metainfo
    colours = colour_table(meta.get('palette') or voc_palette(255))
    return tuple(meta.get('classes', ())), colours


def _stage(pipeline: Pipeline, name: str) -> Stage:
    return next(stage for stage in pipeline.stages if stage.name == name)
