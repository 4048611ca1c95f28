"""The bed of activation and saliency sources, as the command line calls it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.class_names import NAMED, foreground_names
from ..datasets.converters.common import read_ids
from ..datasets.label_list import LabelList, read_label_list
from ..datasets.mini_render import write_mini
from ..ops.dense_crf import crf_parameters
from ..stages import Launch
from ..stages.bed import Bed, parse_numbers, parse_saliency, parse_source, retrain
from ..stages.bed.report import write_reports
from ..stages.bed.retrain import Retrained, initial_weights, open_for_labels, write_labels
from ..stages.bed.run import Cell, cell_name
from ..stages.bed.scores import Scores, score, write_csv
from ..stages.bed.settings import published_rule
from ..stages.saliency import LabelRule
from ..utils.checks import check_choice, check_range, check_unique
from ..utils.images import find_images

ROOTS = {'voc12': 'data/VOCdevkit/VOC2012', 'coco14': 'data/coco2014', 'mini': 'data/mini'}


@dataclass(frozen=True)
class BedSplit:
    """Where the images of a split lie.

    Attributes:
        ids: Image ids.
        images, truth: Folders of the images and of the true masks; None: not known.
    """

    ids: list[str]
    images: Path | None
    truth: Path | None


def find_split(dataset: str, split: str, data_root: str | None = None) -> BedSplit:
    """A split of a data set by its name, or a list of ids.

    Args:
        dataset: ``'voc12'``, ``'coco14'``, ``'mini'``, or a class list.
        split: Name of a split, or a text file of ids, whose folders are those of ``train``.
        data_root: Where the data set lies; None: where it usually does.

    Raises:
        FileNotFoundError: No such list.
        ValueError: No such split.
    """
    if dataset not in NAMED:
        return BedSplit(read_ids(split), None, None)
    root = Path(data_root or ROOTS[dataset])
    if dataset == 'mini':
        write_mini(root)
    splits = NAMED[dataset].SPLITS
    if os.path.isfile(split):
        ids, known = read_ids(split), splits['train']
    else:
        check_choice('split', split, splits)
        known = splits[split]
        ids = read_ids(root / known.ann_file)
    truth = None if known.masks is None else root / known.masks
    return BedSplit(ids, root / known.images, truth)


def run_bed(
    dataset: str,
    source: Sequence[str],
    out: str | os.PathLike,
    saliency: Sequence[str] | None = None,
    split: str = 'train',
    data_root: str | None = None,
    gt: str | None = None,
    labels: str | None = None,
    limit: int | None = None,
    tau: str = '0:0.95:0.05',
    sal_thresh: str = '0.2',
    preset: str = 'official',
    check: bool = False,
    write_labels: str | None = None,
    write_split: str | None = None,
    images: str | None = None,
    retrain: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    retrain_crf: str | None = None,
    retrain_options: dict | None = None,
    launcher: str = 'none',
    gpus: int = 1,
    tools: Path = Path('tools'),
    workers: int | None = None,
    **settings: Any,
) -> Iterator[str]:
    """Judge every source with every saliency; arguments are the options of ``tools/wsss_bed.py``.

    Args:
        dataset, split, data_root: See :func:`find_split`.
        source, saliency: See :func:`mmwsss.stages.bed.parse_source` and ``parse_saliency``.
        out: Folder of everything that is written.
        gt, labels, images: Places of true masks, image labels and images.
        limit: Only so many images.
        tau, sal_thresh: See :func:`mmwsss.stages.bed.parse_numbers`.
        preset: ``'official'`` or ``'none'``.
        check: Only look at the files.
        write_labels: ``'best'``, ``'preset'`` or ``'tau=T,s=S'``.
        write_split: Images that get labels.
        retrain, seeds, retrain_crf, retrain_options: Config of a network, and how it is trained.
        launcher, gpus, tools: See :class:`mmwsss.stages.Launch`.
        workers: Processes.
        settings: Of :class:`mmwsss.stages.bed.Bed`.

    Returns:
        Lines to show; the work is done as they are asked for. Arguments are checked at once.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: As the parts raise them.
    """
    check_range('limit', limit, 1, integer=True)
    check_choice('preset', preset, ('official', 'none'))
    launch = Launch(launcher, gpus, tools)
    training = _Training(retrain, seeds, retrain_options, retrain_crf, launch)
    chosen = write_labels or ('preset' if retrain else None)
    fixed = _parse_choice(chosen)
    classes = foreground_names(dataset)
    image_labels = None if labels is None else read_label_list(labels, classes)
    found = find_split(dataset, split, data_root)
    truth = Path(gt) if gt else found.truth
    if truth is None:
        raise ValueError(f'the split {split} has no true masks: give --gt')
    bed = Bed(
        dataset,
        classes,
        found.ids[:limit],
        truth,
        [parse_source(text, preset == 'official') for text in source],
        [parse_saliency(text) for text in saliency or ['none']],
        *_thresholds(tau, sal_thresh, fixed),
        Path(out),
        image_labels,
        processes=workers,
        **settings,
    )
    labelling = None
    if chosen:
        wanted = found if write_split is None else find_split(dataset, write_split, data_root)
        ids = bed.ids if write_split is None else wanted.ids
        folder = _image_folder(images, wanted)
        labelling = _Labelling(chosen, fixed, ids, folder, image_labels)
    if chosen == 'preset':
        _check_published(bed)
    return _check_bed(bed) if check else _judge(bed, labelling, training)


def _check_bed(bed: Bed) -> Iterator[str]:
    lines = bed.check()
    yield f'{len(bed.ids)} images, {len(bed.cells)} cells: {len(lines) or "no"} findings'


def _judge(bed: Bed, labelling: _Labelling | None, training: _Training) -> Iterator[str]:
    bed.check()
    if labelling is not None:
        labelling.check(bed)
    cells = bed.run()
    write_reports(bed, cells)
    if labelling is not None:
        yield from _label_and_train(bed, cells, labelling, training)
    yield f'\n{len(cells)} cells on {len(bed.ids)} images: {bed.out / "index.html"}'


@dataclass
class _Training:
    """How networks are trained on the labels; ``config`` None: not at all."""

    config: str | None
    seeds: Sequence[int]
    options: dict | None
    crf: str | None
    launch: Launch
    weights: str = field(default='', init=False)

    def __post_init__(self) -> None:
        if self.crf is not None:
            crf_parameters(self.crf)
        if (self.options or self.crf) and not self.config:
            raise ValueError('--retrain-options and --retrain-crf belong to --retrain')
        if self.config is not None and not os.path.isfile(self.config):
            raise FileNotFoundError(f'--retrain: there is no config {self.config}')
        check_unique('--seeds', map(str, self.seeds))
        for seed in self.seeds:
            check_range('--seeds', seed, 0, integer=True)
        if self.config is not None:
            self.weights = initial_weights(self.config, self.options)


@dataclass(frozen=True)
class _Labelling:
    """Which label maps are written: how ``chosen`` of the cell's, and for which images."""

    chosen: str
    fixed: tuple[float, float] | None
    ids: Sequence[str]
    images: Path
    image_labels: LabelList | None

    def rule(self, one: Scores) -> LabelRule:
        if self.chosen == 'best':
            return one.rule(one.best)
        if self.fixed is None:
            return one.rule(one.preset)
        cell, (tau, threshold) = one.cell, self.fixed
        column = 0 if cell.saliency.place is None else cell.sal_thresholds.index(threshold)
        return one.rule((cell.taus.index(tau), column))

    def check(self, bed: Bed) -> None:
        """Raise what :meth:`write` would, if maps, images or their labels are missing."""
        find_images(self.images, self.ids)
        for source, saliency in bed.cells:
            if source.kind != 'mask':
                given = self.ids, len(bed.classes), self.image_labels
                open_for_labels(source, saliency, *given)

    def write(self, bed: Bed, one: Scores) -> Path:
        """Write the label maps of a cell; its folder."""
        out = bed.out / 'labels' / one.cell.name
        write_labels(
            out,
            one.cell.source,
            one.cell.saliency,
            self.rule(one),
            self.images,
            self.ids,
            len(bed.classes),
            self.image_labels,
            NAMED[bed.dataset].METAINFO['palette'] if bed.dataset in NAMED else None,
            bed.quantise,
            bed.resize,
            bed.processes,
            bed.restart,
        )
        return out


def _thresholds(
    tau: str, sal_thresh: str, fixed: tuple[float, float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Thresholds of maps and of saliency, those of the wanted labels among them."""
    taus, thresholds = parse_numbers(tau, '--tau'), parse_numbers(sal_thresh, '--sal-thresh')
    if fixed:
        taus = tuple(sorted({*taus, fixed[0]}))
        thresholds = tuple(sorted({*thresholds, fixed[1]}))
    return taus, thresholds


def _label_and_train(
    bed: Bed, cells: Sequence[Cell], labelling: _Labelling, training: _Training
) -> Iterator[str]:
    """Write the labels of each cell, and train networks on them; yields lines to show."""
    miou = {}
    for one in (score(cell, bed.ignore_eval) for cell in cells):
        if one.cell.source.kind == 'mask':
            masks = one.cell.source.folder
        else:
            masks = labelling.write(bed, one)
            yield f'{one.cell.name}: labels are in {masks}'
        if training.config:
            miou[one.cell.name] = _retrain(bed, one, masks, training)
    if training.config:
        retrained = Retrained(
            training.config,
            training.weights,
            training.seeds,
            labelling.chosen,
            miou,
            training.options,
            training.crf,
        )
        write_csv(bed.out / 'retrained.csv', _retrained_rows(retrained))
        write_reports(bed, cells, retrained)


def _parse_choice(chosen: str | None) -> tuple[float, float] | None:
    if chosen in (None, 'best', 'preset'):
        return None
    try:
        parts = dict(part.split('=') for part in chosen.split(','))
        values = float(parts.pop('tau')), float(parts.pop('s'))
    except (KeyError, ValueError):
        parts = {'?': chosen}
    if parts:
        raise ValueError(f'--write-labels must be best, preset or tau=T,s=S, got {chosen!r}')
    LabelRule(*values)
    return values


def _check_published(bed: Bed) -> None:
    for source, saliency in bed.cells:
        if source.kind != 'mask' and published_rule(source, saliency) is None:
            raise ValueError(
                f'{cell_name(source, saliency)} has no published settings: name some (--source '
                'NAME=DIR:preset=CAM), or say --write-labels best or tau=T,s=S'
            )


def _image_folder(images: str | None, split: BedSplit) -> Path:
    folder = Path(images) if images else split.images
    if folder is None:
        raise ValueError('labels need the sizes of the images: give --images')
    return folder


def _retrain(bed: Bed, one: Scores, masks: Path, training: _Training) -> list[float]:
    work_dir = bed.out / 'retrain' / one.cell.name
    return retrain(
        training.config,
        masks,
        work_dir,
        training.seeds,
        training.options,
        training.crf,
        training.launch,
        bed.restart,
    )


def _retrained_rows(retrained: Retrained) -> Iterator[dict[str, Any]]:
    for name, values in retrained.miou.items():
        source, _, saliency = name.partition('__')
        for seed, value in zip(retrained.seeds, values, strict=True):
            yield dict(
                source=source,
                saliency=saliency,
                seed=seed,
                mIoU=f'{value:.4f}',
                config=retrained.config,
                starts_from=retrained.weights,
                crf=retrained.crf or '',
            )
