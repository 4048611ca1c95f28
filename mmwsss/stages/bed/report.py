"""What a run of the bed leaves: tables, a text, figures and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...utils.io import atomic_write, write_text
from ...visualization.bed import as_image, as_png, draw_bars, draw_curves, draw_heat
from ...visualization.page import Page, mean_text
from .published import published_tables
from .retrain import Retrained
from .run import Bed, Cell
from .scores import Scores, best_row, result_rows, score, write_confusions, write_csv

MAX_HEATS = 48


class Table(NamedTuple):
    """Rows of texts, the first being the head, and what has to be read with them."""

    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def write_reports(bed: Bed, cells: Sequence[Cell], retrained: Retrained | None = None) -> None:
    """Write tables, confusion matrices, figures, ``report.md`` and the page ``index.html``.

    Args:
        bed: What was run.
        cells: Its result.
        retrained: Networks trained on its labels.
    """
    scores = [score(cell, bed.ignore_eval) for cell in cells]
    best = [best_row(one, bed.dataset) for one in scores]
    rows = [row for one in scores for row in result_rows(one, bed.classes)]
    write_csv(bed.out / 'results.csv', rows)
    write_csv(bed.out / 'best.csv', best)
    write_confusions(bed.out / 'confusion.npz', cells)
    tables = _tables(bed, scores, best, retrained)
    write_text(bed.out / 'report.md', _markdown(bed, tables))
    _write_page(bed, scores, best, tables, retrained)


def _facts(bed: Bed) -> list[str]:
    counted = {
        'background': 'count as background',
        'exclude': 'are not counted',
        'miss': 'count as wrong, of no class',
    }[bed.ignore_eval]
    labels = 'those of every map' if bed.labels is None else 'given'
    return [
        f'{bed.dataset}: {len(bed.ids)} images, true masks of {bed.truth_dir}',
        'mIoU in percent of label maps (of networks only where it says so), over the classes that '
        'the truth has, background included',
        f'predictions of 255 {counted}; mIoU_excluded in results.csv leaves them out',
        f'classes of an image: {labels}',
        'maps are rounded to 8 bits' if bed.quantise else 'maps are compared as floats',
        'best thresholds were found on the ground truth of these very images: an upper bound, not '
        'a setting that weak supervision could choose',
    ]


def _tables(
    bed: Bed, scores: Sequence[Scores], best: Sequence[dict], retrained: Retrained | None
) -> dict[str, Table]:
    """Tables by their title."""
    keep = [key for key in best[0] if any(row[key] for row in best)]
    keep = [key for key in keep if not key.startswith('published')]
    tables = {
        'Best thresholds (found on the ground truth)': Table(
            _matrix(scores, lambda one: f'{one.miou[one.best]:.2f}')
        )
    }
    if any(one.preset for one in scores):
        tables['Published settings of the source'] = Table(
            _matrix(scores, lambda one: '' if one.preset is None else f'{one.miou[one.preset]:.2f}')
        )
    if retrained:
        title = f'Networks trained on the labels, {retrained.split} (mean ± deviation of the seeds)'
        rows = _matrix(scores, lambda one: mean_text(retrained.miou.get(one.cell.name)))
        tables[title] = Table(rows, retrained.facts)
    published = published_tables().miou.get(bed.dataset)
    if published:
        rows = [
            ['saliency', *published],
            *(
                [name, *('{}±{}'.format(*published[m][name]) for m in published)]
                for name in next(iter(published.values()))
            ),
        ]
        tables['Published: networks on val'] = Table(rows, [published_tables().source])
    rows = [[key.replace('_', ' ') for key in keep], *([row[key] for key in keep] for row in best)]
    tables['Figures of all cells'] = Table(rows)
    return tables


def _matrix(scores: Sequence[Scores], value: Any) -> list[list[str]]:
    """Saliencies down, sources across."""
    sources = list(dict.fromkeys(one.cell.source.name for one in scores))
    saliencies = {one.cell.saliency.name: one.cell.saliency for one in scores}
    found = {(one.cell.saliency.name, one.cell.source.name): value(one) for one in scores}
    return [
        ['saliency', *sources, 'saliency comes from'],
        *(
            [name, *(found.get((name, source), '') for source in sources), saliency.origin]
            for name, saliency in saliencies.items()
        ),
    ]


def _markdown(bed: Bed, tables: Mapping[str, Table]) -> str:
    lines = ['# Activation sources x saliency sources', '', *(f'- {f}' for f in _facts(bed)), '']
    if bed.warnings:
        lines += ['## Found in the files', '', *(f'- {w}' for w in bed.warnings), '']
    lines += ['## Inputs', '']
    lines += [f'- source {s.name}: {s.folder}{_use(s)}' for s in bed.sources]
    lines += [f'- saliency {s.name}: {s.place} ({s.origin})' for s in bed.saliencies]
    for title, ((head, *rows), notes) in tables.items():
        lines += ['', f'## {title}', '', *(f'- {note}' for note in notes), *[''] * bool(notes)]
        lines += [_row(head), _row(['---'] * len(head)), *map(_row, rows)]
    return '\n'.join(lines) + '\n'


def _use(source: Any) -> str:
    return '' if source.use_saliency else ' (labels are made without saliency)'


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _write_page(
    bed: Bed,
    scores: Sequence[Scores],
    best: Sequence[dict],
    tables: Mapping[str, Table],
    retrained: Retrained | None,
) -> None:
    page = Page(f'{bed.dataset}: activation sources x saliency sources')
    page.notes(_facts(bed))
    if bed.warnings:
        page.heading('Found in the files')
        page.notes(bed.warnings)
    page.heading('All cells')
    bars = _bars(scores, retrained, bed.dataset)
    _write_png(bed.out / 'bars.png', bars)
    page.figures(
        [as_image(bars, 'bars of all cells').replace('<img', '<img style="max-width:100%"')]
    )
    for title, table in tables.items():
        page.heading(title)
        page.notes(table.notes)
        page.table(table.rows)
    page.heading('mIoU over the activation threshold, at the best saliency threshold of each line')
    maps = [one for one in scores if one.cell.source.kind != 'mask']
    images = []
    for name in dict.fromkeys(one.cell.source.name for one in maps):
        curves = [
            (one.cell.saliency.name, one.cell.taus, one.miou[:, one.best[1]])
            for one in maps
            if one.cell.source.name == name
        ]
        figure = draw_curves(curves, name)
        _write_png(bed.out / f'tau_{name}.png', figure)
        images.append(as_image(figure, f'curves of {name}'))
    page.figures(images)
    _add_heats(bed.out, page, maps)
    write_text(bed.out / 'index.html', page.text())


def _add_heats(out: Path, page: Page, maps: Sequence[Scores]) -> None:
    grids = [one for one in maps if len(one.cell.sal_thresholds) > 1]
    if not grids:
        return
    page.heading('mIoU over both thresholds: circle best, square published')
    shown = sorted(grids, key=lambda one: -one.miou[one.best])[:MAX_HEATS]
    if len(shown) < len(grids):
        page.notes([f'the best {MAX_HEATS} of {len(grids)} cells; all are in results.csv'])
    values = np.concatenate([one.miou.ravel() for one in grids])
    limits = float(np.nanmin(values)), float(np.nanmax(values))
    images = []
    for one in shown:
        cell = one.cell
        title = f'{cell.source.name} with {cell.saliency.name}'
        figure = draw_heat(
            cell.taus, cell.sal_thresholds, one.miou, title, one.best, one.preset, limits
        )
        _write_png(out / f'heat_{cell.name}.png', figure)
        images.append(as_image(figure, title))
    page.figures(images)


def _bars(scores: Sequence[Scores], retrained: Retrained | None, dataset: str) -> Any:
    def network(one: Scores) -> tuple[float, float] | None:
        values = retrained.miou.get(one.cell.name) if retrained else None
        if not values:
            return None
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def published(one: Scores) -> tuple[float, float] | None:
        saliency = None if one.cell.saliency.place is None else one.cell.saliency.name
        return published_tables().find(dataset, one.cell.source.name, saliency)

    networks = [network(one) for one in scores]
    return draw_bars(
        [f'{one.cell.source.name} + {one.cell.saliency.name}' for one in scores],
        [float(one.miou[one.best]) for one in scores],
        [None if one.preset is None else float(one.miou[one.preset]) for one in scores],
        [one.cell.saliency.uses_masks for one in scores],
        [pair and published(one) for one, pair in zip(scores, networks, strict=True)],
        networks,
        f'network, {retrained.split}' if retrained else '',
    )


def _write_png(path: Path, figure: Any) -> None:
    with atomic_write(path) as tmp:
        tmp.write_bytes(as_png(figure))
