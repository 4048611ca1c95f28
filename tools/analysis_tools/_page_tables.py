"""Tables in pages, between ``<!-- table: ... -->`` and ``<!-- end -->``; tables.py says which."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from _benchmark import STAR, Figure, Figures, read_rows
from _metafiles import METRIC, spaced

MARKER = re.compile(r'<!-- table: (?P<table>\S.*) -->')
END = '<!-- end -->'
MEANT = re.compile(r'\s*<!--+\s*(table|end)\b', re.IGNORECASE)
NOTE = f'{STAR} Measured before there was the benchmark, and typed by hand.'
HEADS = ('method', 'seed (train)', 'mask (train)', 'val', 'val + CRF', 'bound, val', 'share of it')


def line(*cells: str) -> str:
    """A row of a table."""
    return f'| {" | ".join(cells)} |'


def rule(columns: int) -> str:
    """The line below the head of a table."""
    return '|---' * columns + '|'


def filled(text: str, where: str, table: Callable[[str, str], str]) -> str:
    """A page with its tables written anew.

    Args:
        text: The page.
        where: Its name, for messages.
        table: Makes the table that a marker asks for on the page ``where``; raises ValueError if
            it cannot.

    Raises:
        ValueError: A marker is misspelt, has no end or asks for what there is not (file and line
            are named).
    """
    lines = text.split('\n')
    done: list[str] = []
    begin = 0
    for marker, end, wanted in _markers(lines, where):
        try:
            made = table(wanted, where)
        except ValueError as error:
            raise ValueError(f'{where}:{marker + 1}: {error}') from error
        done += [*lines[begin : marker + 1], '', made, '']
        begin = end
    return '\n'.join([*done, *lines[begin:]])


def _markers(lines: list[str], where: str) -> Iterator[tuple[int, int, str]]:
    """Indices of the lines around each table, and what it shall be; blocks of code have none."""
    opened: tuple[int, str] | None = None
    fenced = False
    for index, content in enumerate(lines):
        fenced ^= content.lstrip().startswith('```')
        if fenced or not MEANT.match(content):
            continue
        found, at = MARKER.fullmatch(content), f'{where}:{index + 1}'
        if not found and content != END:
            raise ValueError(f'{at}: not <!-- table: NAME --> nor {END}: {content}')
        if found and opened:
            raise ValueError(f'{at}: the table of line {opened[0] + 1} has no {END}')
        if found:
            opened = index, found['table']
        elif opened:
            yield opened[0], index, opened[1]
            opened = None
        else:
            raise ValueError(f'{at}: no table to end')
    if opened:
        raise ValueError(f'{where}:{opened[0] + 1}: the table has no {END}')


class Tables:
    """The tables that a page may ask for; called with the text of a marker and the page's name.

    Args:
        rows: Config of the benchmark, for the summary.
        figures: Of pipelines.
        collections: Of the metafiles.

    Raises:
        ValueError: The text asks for a table, pipeline, stage or model that there is not.
    """

    def __init__(self, rows: Path, figures: Figures, collections: list[dict]) -> None:
        self.rows, self.figures = rows, figures
        self.published = {
            model['Name']: list(_official(model, item))
            for item in collections
            for model in item['models']
        }

    def __call__(self, text: str, where: str) -> str:
        kind, _, rest = text.partition(' ')
        if kind == 'summary':
            lines = self._summary(rest.split(), '' if where.startswith('docs/') else 'docs/')
        elif kind == 'stages':
            lines = self._stages(*_names_and_columns(rest))
        elif kind == 'published':
            lines = self._published(rest.split())
        else:
            raise ValueError(
                f'no table {text!r}: write summary [ROW ...], stages PIPELINE: STAGE=LABEL, ... or '
                'published MODEL ...'
            )
        return '\n'.join([*lines, *(['', NOTE] if STAR in ''.join(lines) else [])])

    def _summary(self, names: list[str], folder: str) -> list[str]:
        lines = [line(*HEADS), rule(len(HEADS))]
        for title, page, columns, bound in read_rows(self.rows, self.figures, names):
            title = f'[{title}]({folder}{page}.md)' if page else title
            cells = map(_text, (*columns.values(), bound))
            lines.append(line(title, *cells, _share(columns['val'], bound)))
        return lines

    def _stages(self, pipelines: list[str], columns: dict[str, str]) -> list[str]:
        several = len(pipelines) > 1
        lines = [line(*['pipeline'] * several, *columns.values()), rule(several + len(columns))]
        for name in pipelines:
            figures = (self.figures(name, stage) for stage in columns)
            lines.append(line(*[f'`{name}`'] * several, *map(_text, figures)))
        return lines

    def _published(self, models: list[str]) -> list[str]:
        lines = [line('config', 'images', 'what', 'mIoU', 'source'), rule(5)]
        for name in models:
            if not self.published.get(name):
                raise ValueError(f'no metafile has an official figure of a model {name}')
            lines += [line(f'`{name}`', *cells) for cells in self.published[name]]
        return lines


def _names_and_columns(text: str) -> tuple[list[str], dict[str, str]]:
    """``'a b: mask=Masks, val=On val'`` -> ``['a', 'b'], {'mask': 'Masks', 'val': 'On val'}``."""
    names, _, columns = text.partition(':')
    pairs = [[part.strip() for part in column.split('=')] for column in columns.split(',')]
    once = len({pair[0] for pair in pairs}) == len(pairs)
    if not (names.split() and once and all(len(pair) == 2 and all(pair) for pair in pairs)):
        raise ValueError(f'write stages PIPELINE ...: STAGE=LABEL, ..., not stages {text}')
    return names.split(), dict(pairs)


def _text(figure: Figure | None) -> str:
    return figure.text if figure else ''


def _share(figure: Figure | None, bound: Figure | None) -> str:
    if not (figure and bound and figure.mean is not None and bound.mean):
        return ''
    star = STAR if STAR in figure.text + bound.text else ''
    return f'{100 * figure.mean / bound.mean:.0f} %{star}'


def _official(model: dict, collection: dict) -> Iterator[tuple[str, ...]]:
    """Images, what was judged, mIoU and source of each published figure."""
    paper = collection.get('Paper')
    default = f'[paper or its authors]({paper["URL"]})' if paper else ''
    for result in model.get('Results', ()):
        for metric, value in result['Metrics'].items():
            what, notes = METRIC.fullmatch(metric).groups()
            notes = [note for note in notes.split(', ') if note]
            if 'official' in notes:
                split, kind, test = re.fullmatch(r'(\w+)(?: ([\w ]+))?((?:\+\w+)*)', what).groups()
                rest = [note for note in notes if note != 'official']
                what = ', '.join([spaced((kind or 'network') + test), *rest])
                images = f'{result["Dataset"]} {split}'
                yield images, what, str(value), result.get('Source', default)
