"""The page of a benchmark: tables, curves and pictures of all methods beside each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...utils.images import read_rgb
from ...utils.io import read_mask, write_text
from ...visualization.bed import as_image
from ...visualization.curve import draw_training
from ...visualization.page import Page, mean_text
from ...visualization.panel import draw_strip
from ...visualization.review_sheet import as_address
from ..config_stages import CheckpointStage
from .cells import LOG
from .collect import CellResult, StageResult
from .pictures import predicted, samples
from .rows import COLUMNS, Benchmark, Row

ON_TRUTH, TRUE_MASKS = '†', '‡'
_HEAD = {'seed': 'seed', 'mask': 'mask', 'val': 'val', 'val_crf': 'val + CRF'}
_FACTS = (
    'mIoU in percent, background included; mean ± sample standard deviation over the seeds, one '
    'run where there is no deviation.',
    'seed and mask are activation maps and pseudo masks of the training images: methods make them '
    'from the image labels. val and val + CRF are segmentations of the val images, for which no '
    'method sees a label.',
    f'{ON_TRUTH} The threshold of the maps was found on the true masks of these very images: an '
    'upper bound, not a setting that weak supervision could choose.',
    f'{TRUE_MASKS} Trained on true masks: the bound of the same network. Share is val in percent '
    'of the val of the bound.',
    'Parameters are those that the training of the network in the column val changes, s/step is '
    'of its training, s/image of its test without CRF. Memory is that of the largest process of '
    'the run (on a GPU: of its memory), minutes are those of all its stages. A cell is empty where '
    'a figure does not apply or is not known.',
)


class Table:
    """The cells of a benchmark, row by row.

    Args:
        benchmark: Its rows and their columns.
        cells: What was run.
    """

    def __init__(self, benchmark: Benchmark, cells: Sequence[CellResult]) -> None:
        self.benchmark = benchmark
        self.cells: dict[str, list[CellResult]] = {name: [] for name in benchmark.rows}
        for cell in cells:
            self.cells[cell.row.name].append(cell)

    @property
    def rows(self) -> list[Row]:
        """Those of which something is there, the bounds at the end."""
        there = [row for name, row in self.benchmark.rows.items() if self.cells[name]]
        return sorted(there, key=lambda row: row.true_masks)

    def stages(self, row: Row, column: str) -> list[StageResult]:
        """What the seeds have in a column."""
        name = self.benchmark.columns[row.name].get(column)
        return [cell.stages[name] for cell in self.cells[row.name] if name in cell.stages]

    def scores(self, row: Row, column: str, metric: str = 'mIoU') -> list[float]:
        """Scores of the seeds; without those of classes that do not occur."""
        found = (stage.scores.get(metric, np.nan) for stage in self.stages(row, column))
        return [value for value in found if not np.isnan(value)]

    def bound(self, row: Row) -> list[float]:
        """val of the same network trained on true masks."""
        if row.bound is None:
            return []
        return self.scores(self.benchmark.rows[row.bound], 'val')

    def trainings(self, row: Row) -> list[StageResult]:
        """The training of the network that is judged in the column val, of every seed."""
        name = self.benchmark.columns[row.name].get('val')
        found = []
        for cell in self.cells[row.name]:
            stage = next((one for one in cell.pipeline.stages if one.name == name), None)
            if isinstance(stage, CheckpointStage) and 'checkpoint' in stage.spec:
                found += [cell.stages[k] for k in [stage.spec['checkpoint']] if k in cell.stages]
        return found


def write_page(path: str | os.PathLike, benchmark: Benchmark, cells: Sequence[CellResult]) -> None:
    """Write the page of what was run.

    Args:
        path: The file.
        benchmark: What it belongs to.
        cells: What was run.
    """
    table = Table(benchmark, cells)
    page = Page(f'Benchmark {benchmark.path.stem}')
    page.notes(_FACTS)
    _add_state(page, table)
    if table.rows:
        page.heading('Methods')
        _add_methods(page, table)
        _add_classes(page, table)
        _add_pictures(page, table)
        _add_curves(page, table)
    write_text(path, page.text())


def _title(row: Row) -> str:
    return f'{row.title} {TRUE_MASKS}' if row.true_masks else row.title


def _add_state(page: Page, table: Table) -> None:
    """What has failed, is unfinished, was not run, or was run with various settings."""
    failed, other = [], []
    for name, row in table.benchmark.rows.items():
        cells = table.cells[name]
        for cell in cells:
            who = f'{_title(row)}, seed {cell.seed}'
            if cell.failed:
                log = cell.root.relative_to(table.benchmark.folder) / LOG
                failed.append(f'{who}: {cell.failed} Log: {log.as_posix()}')
            elif cell.missing:
                count = len(cell.missing) + len(cell.stages)
                done = f'{len(cell.stages)} of {count} stages'
                other.append(f'{who} is not finished: {done}, next {cell.missing[0]}.')
        if len({cell.digest for cell in cells if not cell.missing}) > 1:
            other.append(f'{_title(row)}: its seeds were run with different settings.')
    not_run = [_title(row) for name, row in table.benchmark.rows.items() if not table.cells[name]]
    if not_run:
        other.append(f'Not run: {"; ".join(not_run)}.')
    for title, lines in (('Failed', failed), ('Unfinished', other)):
        if lines:
            page.heading(title)
            page.notes(lines)


def _add_methods(page: Page, table: Table) -> None:
    costs = ('parameters', 's/step', 's/image', 'memory, MB', 'minutes')
    lines = [['', 'seeds', *_HEAD.values(), 'bound', 'share', *costs]]
    marked = []
    for row in table.rows:
        if row.true_masks:
            marked.append(len(lines))
        bound, val = table.bound(row), table.scores(row, 'val')
        share = f'{100 * np.mean(val) / np.mean(bound):.0f} %' if bound and val else ''
        scores = [_score(table, row, column) for column in COLUMNS]
        seeds = str(sum(not cell.missing for cell in table.cells[row.name]))
        lines.append([_title(row), seeds, *scores, mean_text(bound), share, *_costs(table, row)])
    page.table(lines, marked)


def _score(table: Table, row: Row, column: str) -> str:
    text = mean_text(table.scores(row, column))
    best = any(stage.best_on_truth for stage in table.stages(row, column))
    return f'{text} {ON_TRUTH}' if text and best else text


def _costs(table: Table, row: Row) -> list[str]:
    trainings, cells = table.trainings(row), table.cells[row.name]
    parameters = _known(trainings, 'trained_parameters')
    memory = [cell.peak_memory_mb for cell in cells if cell.peak_memory_mb is not None]
    minutes = [
        sum(stage.seconds for stage in cell.stages.values()) / 60
        for cell in cells
        if not cell.missing
    ]
    return [
        f'{np.mean(parameters) / 1e6:.2f} M' if parameters else '',
        _mean(_known(trainings, 'seconds_per_step'), 2),
        _mean(_known(table.stages(row, 'val'), 'seconds_per_image'), 3),
        _mean(memory, 0),
        _mean(minutes, 1),
    ]


def _known(stages: Sequence[StageResult], cost: str) -> list[float]:
    return [stage.costs[cost] for stage in stages if cost in stage.costs]


def _mean(values: Sequence[float], decimals: int) -> str:
    return f'{np.mean(values):.{decimals}f}' if values else ''


def _add_classes(page: Page, table: Table) -> None:
    """IoU of every class on val."""
    rows = [row for row in table.rows if table.stages(row, 'val')]
    if not rows:
        return
    metrics = [key for key in table.stages(rows[0], 'val')[0].scores if key.startswith('IoU/')]
    lines = [['', *(key.removeprefix('IoU/') for key in metrics)]]
    for row in rows:
        values = (_mean(table.scores(row, 'val', key), 1) for key in metrics)
        lines.append([_title(row), *values])
    page.heading('Classes')
    page.paragraph('IoU on val, without CRF, mean of the seeds.')
    page.table(lines, [number for number, row in enumerate(rows, 1) if row.true_masks])


def _add_pictures(page: Page, table: Table) -> None:
    """Val images as all methods segment them."""
    found = {_title(row): masks for row in table.rows if (masks := _masks(table, row))}
    if not found:
        return
    page.heading('Pictures')
    row = next(row for row in table.rows if _title(row) in found)
    cell, name = table.cells[row.name][0], table.benchmark.columns[row.name]['val']
    try:
        shown = samples(cell.pipeline, name)
    except (OSError, ValueError) as error:
        page.notes([f'The val images are not here: {error}'])
        return
    images = [read_rgb(path) for path in shown.images.values()]
    masks = {'truth': shown.truths, **found} if shown.truths else found
    strips = {'image': as_address(draw_strip(images, None, shown.colours))}
    lacking = []
    for title, files in masks.items():
        if set(shown.images) - set(files):
            lacking.append(title)
            continue
        maps = [read_mask(files[key]) for key in shown.images]
        strips[title] = as_address(draw_strip(images, maps, shown.colours))
    page.paragraph('Val images, without CRF, one seed; chosen by their place in the split alone.')
    page.legend(dict(zip(shown.classes, shown.colours, strict=False)))
    page.strips(strips)
    page.notes([f'Masks of these images are not there: {", ".join(lacking)}.'] if lacking else [])


def _masks(table: Table, row: Row) -> Mapping[str, Path]:
    """Predictions of the first seed that has kept them, by image id."""
    name = table.benchmark.columns[row.name].get('val')
    for cell in table.cells[row.name]:
        if name in cell.stages and (masks := predicted(cell.pipeline, name, cell.root)):
            return masks
    return {}


def _add_curves(page: Page, table: Table) -> None:
    """Losses of all trainings of a pipeline, first seed."""
    figures = {}
    for cells in table.cells.values():
        logged = [cell for cell in cells if any(stage.log for stage in cell.stages.values())]
        if not logged:
            continue
        cell = max(logged, key=lambda one: (len(one.stages), -one.seed))
        logs = {name: stage.log for name, stage in cell.stages.items() if stage.log}
        losses = {name: log.loss for name, log in logs.items() if log.loss}
        stem = cell.row.pipeline.stem
        if losses and len(losses) > figures.get(stem, (0, ''))[0]:
            miou = {name: logs[name].miou for name in losses}
            title = f'{stem}, seed {cell.seed}'
            image = as_image(draw_training(losses, miou, title), title, 'plot')
            figures[stem] = len(losses), image
    if figures:
        page.heading('Training')
        page.paragraph('Losses; dots are the mIoU of validations. First seed.')
        page.figures(image for _, image in figures.values())
