"""The grid: read every map once, count, and sum up."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from ...datasets.activation_source import ActivationSource, fit_maps
from ...datasets.label_list import LabelList
from ...datasets.saliency_source import ConstantSaliency, SaliencySource, fit_saliency
from ...ops.confusion import PRED_IGNORE_CONVENTIONS, confusion_matrix
from ...ops.saliency.sweep import joint_histogram, sweep_confusions
from ...stores.cam_store import read_store
from ...utils.checks import (
    check_apart,
    check_choice,
    check_distinct_files,
    check_output_folder,
    check_range,
    check_unique,
    some,
    spelling_hint,
)
from ...utils.io import check_some_class, list_files, read_mask, write_arrays
from ...utils.parallel import map_parallel
from ...utils.provenance import check_claim, claim, digest_json, digest_stamps
from .checks import Findings, check_inversion, check_saliency, check_source
from .settings import MAX_PAIRS, NO_SALIENCY, BedSaliency, BedSource, is_mask

IGNORE = ('auto', 'on', 'off')
_BLOCKS, _SMALLEST, _LARGEST = 40, 20, 500


@dataclass(frozen=True)
class Cell:
    """A source with a saliency, judged at every pair of thresholds.

    Attributes:
        source, saliency: What is combined; no saliency for finished masks and where it is not used.
        taus: ``(T,)`` thresholds of the activations; one 0 for finished masks.
        sal_thresholds: ``(S,)`` of the saliency, 0 where it stays soft; one 0 without saliency.
        ignore: Whether salient background is 255.
        matrices: ``(T, S, n, n + 1)`` int64.
    """

    source: BedSource
    saliency: BedSaliency
    taus: tuple[float, ...]
    sal_thresholds: tuple[float, ...]
    ignore: bool
    matrices: Tensor

    @property
    def name(self) -> str:
        """Of its files."""
        return cell_name(self.source, self.saliency)


def cell_name(source: BedSource, saliency: BedSaliency) -> str:
    """Name of the files of a cell."""
    return f'{source.name}__{saliency.name}'


@dataclass
class Bed:
    """Sources, saliencies and thresholds on the images of one split.

    Attributes:
        dataset: Name of the data set, to find published numbers.
        classes: Names of the foreground classes.
        ids: Image ids that are judged.
        truth_dir: Folder of the true masks.
        sources, saliencies: What is combined.
        taus, sal_thresholds: The grid, increasing from 0 on; a saliency threshold of 0 leaves it
            soft.
        out: Folder of everything that is written.
        labels: Image labels; None: every class that a source has a map of.
        ignore: ``'on'``, ``'off'``, or ``'auto'``, as a source's published settings say.
        ignore_eval: What a prediction of 255 counts as (:data:`PRED_IGNORE_CONVENTIONS`).
        quantise: Round maps to 8 bits, as the published ones are.
        resize: Resize maps that were made for another size of the image instead of refusing them.
        skip_incomplete: Leave images out, in all cells, that lack a map anywhere.
        strict: What is only reported otherwise is an error.
        processes: None: one per CPU.
        restart: Throw cells of other settings or files away.

    Raises:
        ValueError: Values that cannot work.
    """

    dataset: str
    classes: Sequence[str]
    ids: Sequence[str]
    truth_dir: Path
    sources: Sequence[BedSource]
    saliencies: Sequence[BedSaliency]
    taus: Sequence[float]
    sal_thresholds: Sequence[float]
    out: Path
    labels: LabelList | None = None
    ignore: str = 'auto'
    ignore_eval: str = 'background'
    quantise: bool = True
    resize: bool = False
    skip_incomplete: bool = False
    strict: bool = False
    processes: int | None = None
    restart: bool = False
    warnings: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        check_choice('ignore', self.ignore, IGNORE)
        check_choice('ignore_eval', self.ignore_eval, PRED_IGNORE_CONVENTIONS)
        check_range('processes', self.processes, 1, integer=True)
        if not self.ids:
            raise ValueError('the split is empty')
        check_unique('image ids', self.ids)
        for what, given in (('source', self.sources), ('saliency', self.saliencies)):
            if not given:
                raise ValueError(f'no {what} is given')
            check_unique(f'{what} names', [one.name for one in given])
        if len(self.taus) * len(self.sal_thresholds) > MAX_PAIRS:
            raise ValueError(
                f'{len(self.taus)} x {len(self.sal_thresholds)} thresholds: at most {MAX_PAIRS} '
                'pairs can be reported; take larger steps'
            )
        self.ids, self.out = sorted(self.ids), Path(self.out)
        check_output_folder(self.out)
        check_distinct_files(self.out, [cell_name(*pair) for pair in self.cells])
        places = [source.folder for source in self.sources]
        places += [s.place for s in self.saliencies if isinstance(s.place, Path)]
        inputs = {str(place): place for place in places}
        check_apart({'the output folder': self.out}, {**inputs, 'the truth': self.truth_dir})
        for source in self.sources:
            if os.path.realpath(source.folder) == os.path.realpath(self.truth_dir):
                raise ValueError(f'source {source.name} is the truth: the result would be perfect')
        self._check_labels()

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        missing = [key for key in self.ids if key not in self.labels]
        if missing:
            raise ValueError(
                f'{len(missing)} of {len(self.ids)} images of the split are not in the image '
                f'labels: {some(missing)}{spelling_hint(missing, self.labels)}'
            )
        self.labels = {key: self.labels[key] for key in self.ids}

    @property
    def num_classes(self) -> int:
        """Background included."""
        return 1 + len(self.classes)

    @cached_property
    def opened(self) -> dict[str, ActivationSource]:
        """Readers of the sources by name."""
        return {s.name: s.open(len(self.classes), self.labels) for s in self.sources}

    @cached_property
    def opened_saliencies(self) -> dict[str, SaliencySource | ConstantSaliency | None]:
        """Readers of the saliencies by name."""
        return {s.name: s.open() for s in self.saliencies}

    @cached_property
    def truths(self) -> dict[str, Path]:
        """True masks by image id.

        Raises:
            FileNotFoundError: Some are missing.
        """
        found = list_files(self.truth_dir, '.png')
        missing = [key for key in self.ids if key not in found]
        if missing:
            there = f'{self.truth_dir}' if found else f'{self.truth_dir} (no .png there)'
            raise FileNotFoundError(
                f'{there} has no true mask for {len(missing)} of {len(self.ids)} images: '
                f'{some(missing)}{spelling_hint(missing, found)}'
            )
        return {key: found[key] for key in self.ids}

    @property
    def cells(self) -> list[tuple[BedSource, BedSaliency]]:
        """All combinations: finished masks, and maps that have seen saliency, take part once."""
        alone = BedSaliency(NO_SALIENCY, None, 'no saliency')
        pairs = []
        for source in self.sources:
            single = not source.use_saliency or source.kind == 'mask'
            pairs += [(source, s) for s in ([alone] if single else self.saliencies)]
        return pairs

    def check(self) -> list[str]:
        """Look at every file; what was found, a line each.

        Raises:
            FileNotFoundError: Folders or files are missing.
            ValueError: Files that cannot be used; or anything at all, when ``strict``.
        """
        self._check_overlap()
        check_some_class([self.truths[key] for key in self.ids])
        for source in filter(is_mask, self.opened.values()):
            check_some_class([path for key in self.ids for path in source.files(key)])
        findings = self._findings()
        lines = [line for f in findings for line in f.lines(len(self.ids))]
        fatal = set().union(*(f.fatal() for f in findings))
        if fatal and not self.skip_incomplete:
            raise ValueError(
                'some maps cannot be used:\n  '
                + '\n  '.join(lines)
                + '\nComplete them, say --resize for other sizes, or --skip-incomplete to judge '
                f'all cells without {len(fatal)} of {len(self.ids)} images.'
            )
        if len(fatal) == len(self.ids):
            raise ValueError('no image has all maps:\n  ' + '\n  '.join(lines))
        if fatal:
            self._leave_out(fatal)
            lines.append(f'{len(fatal)} images are left out of all cells; {len(self.ids)} remain')
        lines += self._inverted()
        if lines and self.strict:
            raise ValueError('--strict, and something was found:\n  ' + '\n  '.join(lines))
        self.warnings = lines
        for line in lines:
            print_log(line, 'current', logging.WARNING)
        return lines

    def _check_overlap(self) -> None:
        opened = {f'source {name}': one for name, one in self.opened.items()}
        for name, one in self.opened_saliencies.items():
            if one is not None:
                opened[f'saliency {name}'] = one
        for name, one in opened.items():
            there = one.ids()
            if there is not None and not there & set(self.ids):
                hint = spelling_hint(self.ids[:20], there)
                raise ValueError(
                    f'{name}: no image of the split has a file in {one.folder}: the split has '
                    f'{some(self.ids, 3)}, the folder {some(sorted(there), 3) or "nothing"}{hint}'
                )

    def _findings(self) -> list[Findings]:
        given = self.truths, self.resize, self.processes
        cache = self.out / 'checks'
        found = [
            check_source(f'source {name}', one, *given, cache / f'source_{name}.json')
            for name, one in self.opened.items()
        ]
        used = {saliency.name for _, saliency in self.cells}
        return found + [
            check_saliency(f'saliency {name}', one, *given, cache / f'saliency_{name}.json')
            for name, one in self.opened_saliencies.items()
            if one is not None and name in used
        ]

    def _inverted(self) -> list[str]:
        maps = [self.opened[s.name] for s in self.sources if s.use_saliency]
        maps = [source for source in maps if not is_mask(source)][:1]
        folders = {
            name: one
            for name, one in self.opened_saliencies.items()
            if isinstance(one, SaliencySource)
        }
        lines = [
            check_inversion(f'saliency {name}', one, maps[0], self.ids)
            for name, one in folders.items()
            if maps
        ]
        return [line for line in lines if line]

    def _leave_out(self, keys: set[str]) -> None:
        self.ids = [key for key in self.ids if key not in keys]
        self.truths = {key: self.truths[key] for key in self.ids}

    def run(self) -> list[Cell]:
        """Judge all cells; blocks of images that are done are skipped.

        Raises:
            ChangedError: A cell holds counts of other settings or files.
            RuntimeError: A process was killed.
        """
        blocks = self._blocks()
        cells = [
            (source, saliency, self._settings(source, saliency)) for source, saliency in self.cells
        ]
        inputs = dict.fromkeys(blocks, ())
        for source, saliency, settings in cells:  # all, before restart throws one away
            folder = self._folder(source, saliency)
            check_claim(folder, '.npz', settings, inputs, self.restart)
        todo: dict[tuple[str, str], list[BedSaliency]] = {}
        for source, saliency, settings in cells:
            done = claim(self._folder(source, saliency), '.npz', settings, inputs, self.restart)
            for name in blocks:
                if name not in done:
                    todo.setdefault((source.name, name), []).append(saliency)
        tasks = [self._task(source, name, blocks[name], s) for (source, name), s in todo.items()]
        map_parallel(_count, tasks, self.processes)
        return [self._sum(source, saliency, blocks) for source, saliency in self.cells]

    def _blocks(self) -> dict[str, list[str]]:
        size = int(np.clip(-(-len(self.ids) // _BLOCKS), _SMALLEST, _LARGEST))
        parts = [self.ids[i : i + size] for i in range(0, len(self.ids), size)]
        return {f'{number:04d}': part for number, part in enumerate(parts)}

    def _folder(self, source: BedSource, saliency: BedSaliency) -> Path:
        return self.out / 'cells' / cell_name(source, saliency)

    def grid(self, source: BedSource, saliency: BedSaliency) -> tuple[tuple, tuple]:
        """Thresholds of a cell: the grid, and those of the source's published settings."""
        if is_mask(self.opened[source.name]):
            return (0.0,), (0.0,)
        preset = source.preset
        taus = {*self.taus, *([] if preset is None else [preset.tau])}
        if saliency.place is None:
            return tuple(sorted(taus)), (0.0,)
        thresholds = {*self.sal_thresholds, *([] if preset is None else [preset.sal_thresh])}
        return tuple(sorted(taus)), tuple(sorted(thresholds))

    def ignores(self, source: BedSource, saliency: BedSaliency) -> bool:
        """Whether salient background of a cell is 255."""
        if saliency.place is None or is_mask(self.opened[source.name]):
            return False
        if self.ignore == 'auto':
            return source.preset is not None and source.preset.ignore
        return self.ignore == 'on'

    def _settings(self, source: BedSource, saliency: BedSaliency) -> dict[str, Any]:
        """All that the counts of a cell depend on."""
        maps, salient = self.opened[source.name], self.opened_saliencies.get(saliency.name)
        taus, thresholds = self.grid(source, saliency)
        labels = None if self.labels is None else [self.labels[key] for key in self.ids]
        place = saliency.place
        place = os.path.realpath(place) if isinstance(place, Path) else place
        return dict(
            kind='wsss_bed',
            ids=digest_json(self.ids),
            labels=digest_json(labels),
            num_classes=self.num_classes,
            truth=os.path.realpath(self.truth_dir),
            truth_files=digest_stamps(self.truths.values()),
            source=os.path.realpath(source.folder),
            source_kind=type(maps).__name__,
            source_files=digest_stamps(p for key in self.ids for p in maps.files(key)),
            saliency=place,
            saliency_files=digest_stamps(p for key in self.ids for p in salient.files(key))
            if isinstance(salient, SaliencySource)
            else None,
            taus=taus,
            sal_thresholds=thresholds,
            quantise=self.quantise,
            resize=self.resize,
        )

    def _task(
        self, source: str, block: str, keys: Sequence[str], saliencies: Sequence[BedSaliency]
    ) -> _Block:
        """Small enough to be sent to another process."""
        spec = next(one for one in self.sources if one.name == source)
        labels = None if self.labels is None else {key: self.labels[key] for key in keys}
        cells = {}
        for saliency in saliencies:
            path = self._folder(spec, saliency) / f'{block}.npz'
            opened = None if saliency.place is None else self.opened_saliencies[saliency.name]
            cells[path] = (opened and replace(opened), *self.grid(spec, saliency))
        return _Block(
            replace(self.opened[source], labels=labels),
            {key: self.truths[key] for key in keys},
            cells,
            self.num_classes,
            self.quantise,
            self.resize,
        )

    def _sum(self, source: BedSource, saliency: BedSaliency, blocks: Mapping[str, Any]) -> Cell:
        taus, thresholds = self.grid(source, saliency)
        ignore, total = self.ignores(source, saliency), {}
        for name in blocks:
            path = self._folder(source, saliency) / f'{name}.npz'
            for key, counts in read_store(path, (), ('mask', *_MODES)).items():
                total[key] = total.get(key, 0) + torch.from_numpy(counts)
        if 'mask' in total:
            matrices = total['mask'][None, None]
        else:
            parts = [sweep_confusions(total[m], ignore) for m in _MODES if m in total]
            matrices = torch.cat(parts, dim=1)
        return Cell(source, saliency, taus, thresholds, ignore, matrices)


_MODES = ('none', 'soft', 'binary')  # in the order of the saliency thresholds


@dataclass(frozen=True)
class _Block:
    """A source on some images, with the saliencies of some cells."""

    source: ActivationSource
    truths: dict[str, Path]
    cells: dict[Path, tuple[SaliencySource | ConstantSaliency | None, tuple, tuple]]
    num_classes: int
    quantise: bool
    resize: bool


def _count(block: _Block) -> None:
    """Write the counts of every cell of a block."""
    totals: dict[Path, dict[str, Tensor]] = {path: {} for path in block.cells}
    for key, path in block.truths.items():
        truth = torch.from_numpy(read_mask(path, block.num_classes))
        if is_mask(block.source):
            found = confusion_matrix(block.source.read_mask(key), truth, block.num_classes)
            for total in totals.values():
                total['mask'] = total.get('mask', 0) + found
            continue
        size = tuple(truth.shape)
        maps = block.source.read(key)
        name = f'{block.source.folder}: {key}'
        activation = fit_maps(maps, size, name, block.resize, block.quantise)
        classes = torch.from_numpy(maps.classes)
        for place, (source, taus, thresholds) in block.cells.items():
            saliency = None
            if source is not None:
                values = source.read(key)
                name = f'saliency of {key}'
                saliency = fit_saliency(values, size, name, block.resize, block.quantise)
            for mode, given in _by_mode(saliency, thresholds).items():
                rows, columns, counts = joint_histogram(
                    activation, classes, saliency, truth, taus, **given,
                    num_classes=block.num_classes,
                )  # fmt: skip
                total = totals[place]
                if mode not in total:
                    shape = block.num_classes, block.num_classes, *counts.shape[2:]
                    total[mode] = torch.zeros(shape, dtype=torch.int64)
                total[mode][rows[:, None], columns] += counts
    for path, total in totals.items():
        write_arrays(path, **{key: value.numpy() for key, value in total.items()})


def _by_mode(saliency: Tensor | None, thresholds: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Arguments of the histograms that an image needs."""
    if saliency is None:
        return {'none': {}}
    above = [s for s in thresholds if s > 0]
    modes: dict[str, dict[str, Any]] = {'soft': dict(soft=True)} if 0 in thresholds else {}
    return {**modes, 'binary': dict(sal_thresholds=above)} if above else modes
