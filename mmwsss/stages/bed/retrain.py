"""Labels of a cell, and networks trained on them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ...datasets.activation_source import ActivationSource, fit_maps
from ...datasets.label_list import LabelList
from ...datasets.saliency_source import ConstantSaliency, SaliencySource, fit_saliency
from ...utils.checks import check_range, check_unique, some
from ...utils.images import find_images, picture_size
from ...utils.io import atomic_write, write_mask
from ...utils.parallel import map_parallel
from ...utils.provenance import claim, digest_json, drop_leftovers
from ..launch import Launch, load_config
from ..options import walk
from ..pipeline import Pipeline
from ..saliency import LabelRule, decide_label
from .settings import BedSaliency, BedSource

_LABELS = {
    'preset': 'at the published settings',
    'best': 'at the best thresholds, found on the ground truth',
}


@dataclass(frozen=True)
class Retrained:
    """Networks trained on the labels of cells, and what they can be compared with.

    Attributes:
        config: Of the network.
        weights: What it starts from, see :func:`initial_weights`.
        seeds: Of the runs.
        labels: Which labels: ``'preset'``, ``'best'``, or their thresholds.
        miou: mIoU on val of every seed, by the name of the cell.
        options: Values changed in the config.
        crf: Preset of the CRF that the networks are tested with; None: without.
    """

    config: str
    weights: str
    seeds: Sequence[int]
    labels: str
    miou: Mapping[str, Sequence[float]]
    options: Mapping[str, Any] | None = None
    crf: str | None = None

    @property
    def split(self) -> str:
        """What the mIoU is of, as tables say it."""
        return 'val + CRF' if self.crf else 'val'

    @property
    def facts(self) -> list[str]:
        """What has to stand beside the figures."""
        options = ', '.join(f'{key}={value}' for key, value in (self.options or {}).items())
        return [
            f'network: {self.config}' + (f', with {options}' if options else ''),
            f'starts from: {self.weights}',
            f'labels: {_LABELS.get(self.labels, f"at {self.labels}")}; finished masks as they are',
            f'seeds: {", ".join(map(str, self.seeds))}',
            f'CRF: {self.crf or "none"}',
        ]


def initial_weights(config: str | os.PathLike, options: dict | None = None) -> str:
    """The files or names of weights that a network starts from, as its config says.

    Args:
        config: Of the network.
        options: Values to change in it.

    Raises:
        FileNotFoundError: No such config.
        ValueError: An option that would change nothing.
    """
    cfg = load_config(config, options)
    if cfg.get('load_from'):
        return f'load_from={cfg.load_from}'
    named = [
        f'{key}={value}'
        for key, value in walk(cfg.get('model') or {})
        if key.rpartition('.')[2] in ('checkpoint', 'pretrained')
        and (value is True or (value and isinstance(value, str)))
    ]
    return ', '.join(named) or 'no weights named in the config'


@dataclass(frozen=True)
class LabelWriter:
    """Writes the labels of one cell by one rule.

    Attributes:
        source, saliency: Readers.
        rule: How labels are decided.
        quantise, resize: As in :class:`mmwsss.stages.bed.run.Bed`.
        palette: Colours of the masks; None: grey.
    """

    source: ActivationSource
    saliency: SaliencySource | ConstantSaliency | None
    rule: LabelRule
    quantise: bool = True
    resize: bool = False
    palette: Sequence[Sequence[int]] | None = None

    def __call__(self, task: tuple[str, Path, Path]) -> str:
        """Write one label map; what went wrong, or nothing."""
        key, image, target = task
        try:
            size = picture_size(image)
            maps = self.source.read(key)
            activation = fit_maps(maps, size, key, self.resize, self.quantise)
            saliency = None
            if self.saliency is not None:
                values = self.saliency.read(key)
                saliency = fit_saliency(values, size, key, self.resize, self.quantise)
            label = decide_label(activation, maps.classes, saliency, self.rule)
            write_mask(target, label.numpy(), self.palette)
        except Exception as error:
            return f'{key}: {type(error).__name__}: {error}'
        return ''


def write_labels(
    out: Path,
    source: BedSource,
    saliency: BedSaliency,
    rule: LabelRule,
    images: str | os.PathLike,
    ids: Sequence[str],
    num_foreground: int,
    labels: LabelList | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    quantise: bool = True,
    resize: bool = False,
    processes: int | None = None,
    restart: bool = False,
) -> int:
    """Write pseudo masks of a cell; images that are done are skipped.

    Args:
        out: Folder of ``<image id>.png``.
        source, saliency: The cell.
        rule: How labels are decided.
        images: Folder of the images, for their sizes.
        ids: Image ids, such as those of train_aug.
        num_foreground: Number of foreground classes.
        labels: Image labels; None: all classes that have maps.
        palette, quantise, resize, processes, restart: As elsewhere in the bed.

    Returns:
        How many were written.

    Raises:
        FileNotFoundError: Images or maps are missing; counted and named.
        RuntimeError: Some failed, after all others were done.
        ValueError: Other settings were used in ``out`` before, or image labels are missing.
    """
    pictures = find_images(images, ids)
    opened, salient = open_for_labels(source, saliency, ids, num_foreground, labels)
    readers = [opened] if salient is None else [opened, salient]
    place = saliency.place
    settings = dict(
        kind='wsss_bed labels',
        source=os.path.realpath(source.folder),
        source_kind=type(opened).__name__,
        num_foreground=num_foreground,
        labels=digest_json(opened.labels),
        saliency=os.path.realpath(place) if isinstance(place, Path) else place,
        quantise=quantise,
        resize=resize,
        **asdict(rule),
    )
    inputs = {
        key: [pictures[key], *(path for reader in readers for path in reader.files(key))]
        for key in ids
    }
    done = claim(out, '.png', settings, inputs, restart)
    drop_leftovers(out, '.png', ids, restart)
    writer = LabelWriter(
        replace(opened), salient and replace(salient), rule, quantise, resize, palette
    )
    todo = [(key, pictures[key], out / f'{key}.png') for key in ids if key not in done]
    failures = [f for f in map_parallel(writer, todo, processes, chunk=8) if f]
    if failures:
        raise RuntimeError(
            f'{len(failures)} of {len(todo)} labels failed, the others are in {out}:\n'
            + '\n'.join(failures[:20])
        )
    return len(todo)


def open_for_labels(
    source: BedSource,
    saliency: BedSaliency,
    ids: Sequence[str],
    num_foreground: int,
    labels: LabelList | None,
) -> tuple[ActivationSource, SaliencySource | ConstantSaliency | None]:
    """What :func:`write_labels` reads, arguments and errors as there."""
    _check_labelled(ids, labels)
    used = None if labels is None else {key: labels[key] for key in ids}
    opened, salient = source.open(num_foreground, used), saliency.open()
    _check_maps(ids, [opened] if salient is None else [opened, salient])
    return opened, salient


def _check_labelled(ids: Sequence[str], labels: LabelList | None) -> None:
    unlabelled = [key for key in ids if labels is not None and key not in labels]
    if unlabelled:
        raise ValueError(
            f'{len(unlabelled)} of {len(ids)} images to be labelled are not in the image labels: '
            f'{some(unlabelled)}'
        )


def _check_maps(
    ids: Sequence[str], readers: Sequence[ActivationSource | SaliencySource | ConstantSaliency]
) -> None:
    missing = [path for key in ids for reader in readers for path in reader.missing(key)]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} maps are missing for the {len(ids)} images to be labelled: '
            f'{some(missing)}'
        )


def retrain(
    config: str | os.PathLike,
    masks: str | os.PathLike,
    work_dir: Path,
    seeds: Sequence[int],
    options: dict | None = None,
    crf: str | None = None,
    launch: Launch | None = None,
    restart: bool = False,
) -> list[float]:
    """Train a network on masks once for every seed, each in a work folder of its own.

    Args:
        config: Of ``configs/segmentation``.
        masks: Folder of pseudo masks of all images of its training set.
        work_dir: Runs lie in ``<work_dir>/seed<S>``.
        seeds: Of the runs.
        options: Values to change in the config.
        crf: Also test with a CRF preset, whose mIoU is then the result.
        launch: How processes are started.
        restart: Do runs of other settings or files anew.

    Returns:
        mIoU of each run on the test set of the config.

    Raises:
        FileNotFoundError: No such config.
        RuntimeError, ValueError: A stage fails, or was begun with other settings.
    """
    if not os.path.isfile(config):
        raise FileNotFoundError(f'config {config} of the retraining does not exist')
    check_unique('seeds', map(str, seeds))
    for seed in seeds:
        check_range('seed', seed, 0, integer=True)
    network = dict(
        name='network',
        run='train',
        config=os.path.abspath(config),
        options={
            **(options or {}),
            'train_dataloader.dataset.mask_dir': os.path.abspath(masks),
        },
    )
    stages = [network, dict(name='val', run='test', checkpoint='network')]
    if crf is not None:
        stages.append(dict(name='val_crf', run='test', checkpoint='network', crf=crf))
    pipeline = work_dir / 'retrain.py'
    with atomic_write(pipeline) as tmp:
        Config(dict(stages=stages)).dump(tmp)
    return [_one(pipeline, work_dir, seed, stages[-1]['name'], launch, restart) for seed in seeds]


def _one(
    pipeline: Path, work_dir: Path, seed: int, last: str, launch: Launch | None, restart: bool
) -> float:
    root, changes = work_dir / f'seed{seed}', {'randomness.seed': seed}
    results = Pipeline(pipeline, root, changes, launch, restart).run()
    return float(results[last]['metrics']['mIoU'])
