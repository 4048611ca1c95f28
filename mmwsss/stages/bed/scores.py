"""Scores of the cells, as tables."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ops.confusion import segmentation_scores
from ...utils.io import write_arrays, write_text
from ..saliency import LabelRule
from .published import published_tables
from .run import Cell
from .settings import published_rule

WITHIN = 1.0  # percent below the best that count as nearly as good


@dataclass(frozen=True)
class Scores:
    """Scores of a cell in percent, arrays ``(T, S)`` and per class ``(T, S, n)``.

    Attributes:
        cell: Of which cell.
        miou: Predictions of 255 count as the bed's ``ignore_eval`` says.
        excluded: mIoU of the pixels that are not 255.
        iou: Per class, background first; NaN where the truth has none.
        precision, recall: Means over the foreground classes.
        ignored: Share of the pixels that are 255.
    """

    cell: Cell
    miou: np.ndarray
    excluded: np.ndarray
    iou: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    ignored: np.ndarray

    @property
    def best(self) -> tuple[int, int]:
        """Place of the best pair of thresholds; the first of several."""
        place = np.nanargmax(self.miou) if np.isfinite(self.miou).any() else 0
        row, column = np.unravel_index(place, self.miou.shape)
        return int(row), int(column)

    @property
    def preset(self) -> tuple[int, int] | None:
        """Place of the published settings, if the source has some that use saliency as it does."""
        cell = self.cell
        rule = published_rule(cell.source, cell.saliency)
        if rule is None:
            return None
        if cell.saliency.place is None:
            return cell.taus.index(rule.tau), 0
        return cell.taus.index(rule.tau), cell.sal_thresholds.index(rule.sal_thresh)

    @property
    def width(self) -> float:
        """Width of the interval of tau around the best one within :data:`WITHIN` of its mIoU."""
        row, column = self.best
        good = self.miou[:, column] >= self.miou[row, column] - WITHIN
        low, high = row, row
        while low > 0 and good[low - 1]:
            low -= 1
        while high + 1 < len(good) and good[high + 1]:
            high += 1
        return round(self.cell.taus[high] - self.cell.taus[low], 10)

    def rule(self, place: tuple[int, int]) -> LabelRule:
        """The settings at a place of the grid."""
        cell = self.cell
        used = cell.saliency.place is not None
        return LabelRule(cell.taus[place[0]], cell.sal_thresholds[place[1]], cell.ignore, used)


def score(cell: Cell, ignore_eval: str) -> Scores:
    """Scores of a cell; means are over the classes that the truth has."""
    found = segmentation_scores(cell.matrices, 'gt_present', ignore_eval)
    without = segmentation_scores(cell.matrices, 'gt_present', 'exclude')
    iou = found['iou'].where(found['truth_pixels'] > 0, np.nan)

    def percent(values: Any) -> np.ndarray:
        return 100 * values.numpy()

    return Scores(
        cell,
        percent(found['miou']),
        percent(without['miou']),
        percent(iou),
        percent(found['precision'][..., 1:].nanmean(-1)),
        percent(found['recall'][..., 1:].nanmean(-1)),
        percent(1 - found['coverage']),
    )


def result_rows(scores: Scores, classes: Sequence[str]) -> Iterable[dict[str, Any]]:
    """A row for every pair of thresholds."""
    cell = scores.cell
    mask = cell.source.kind == 'mask'
    for i, tau in enumerate(cell.taus):
        for j, threshold in enumerate(cell.sal_thresholds):
            names = ('miou', 'excluded', 'precision', 'recall', 'ignored')
            values = {name: _percent(getattr(scores, name)[i, j]) for name in names}
            yield dict(
                source=cell.source.name,
                saliency=cell.saliency.name,
                tau='' if mask else f'{tau:g}',
                sal_thresh=_threshold(cell, threshold),
                ignore='yes' if cell.ignore else 'no',
                mIoU=values['miou'],
                mIoU_excluded=values['excluded'],
                precision=values['precision'],
                recall=values['recall'],
                ignored=values['ignored'],
                **{
                    f'IoU/{name}': _percent(scores.iou[i, j, k])
                    for k, name in enumerate(['background', *classes])
                },
            )


def best_row(scores: Scores, dataset: str) -> dict[str, str]:
    """What a cell comes to: its best settings, the published ones, and how far they are apart."""
    cell, best, preset = scores.cell, scores.best, scores.preset
    mask = cell.source.kind == 'mask'
    top = scores.miou[best]
    saliency = None if cell.saliency.place is None else cell.saliency.name
    published = published_tables().find(dataset, cell.source.name, saliency)
    row = dict(
        source=cell.source.name,
        saliency=cell.saliency.name,
        saliency_origin=cell.saliency.origin,
        saliency_uses_masks='yes' if cell.saliency.uses_masks else 'no',
        best_tau='' if mask else f'{cell.taus[best[0]]:g}',
        best_sal_thresh=_threshold(cell, cell.sal_thresholds[best[1]]),
        best_mIoU=_percent(top),
        best_found_on='' if mask else 'ground truth',
        tau_width_within_1='' if mask else f'{scores.width:g}',
        preset_tau='',
        preset_sal_thresh='',
        preset_mIoU='',
        best_minus_preset='',
        published_mean='' if published is None else f'{published[0]:g}',
        published_deviation='' if published is None else f'{published[1]:g}',
    )
    if preset is not None:
        row |= dict(
            preset_tau=f'{cell.taus[preset[0]]:g}',
            preset_sal_thresh=_threshold(cell, cell.sal_thresholds[preset[1]]),
            preset_mIoU=_percent(scores.miou[preset]),
            best_minus_preset=_percent(top - scores.miou[preset]),
        )
    return row


def write_csv(path: str | os.PathLike, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of the same keys, atomically."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_confusions(path: str | os.PathLike, cells: Iterable[Cell]) -> None:
    """Confusion matrices and thresholds of all cells in one ``.npz``.

    ``<source>__<saliency>`` int64 ``(T, S, n, n + 1)``, and the same name with ``__tau`` and
    ``__sal_thresh``. The last column counts what is 255.
    """
    arrays = {}
    for cell in cells:
        arrays[cell.name] = cell.matrices.numpy()
        arrays[f'{cell.name}__tau'] = np.array(cell.taus)
        arrays[f'{cell.name}__sal_thresh'] = np.array(cell.sal_thresholds)
    write_arrays(path, **arrays)


def _threshold(cell: Cell, value: float) -> str:
    if cell.saliency.place is None:
        return ''
    return 'soft' if value == 0 else f'{value:g}'


def _percent(value: float) -> str:
    return '' if np.isnan(value) else f'{value:.4f}'
