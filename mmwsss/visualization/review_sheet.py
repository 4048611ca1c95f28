"""A contact sheet of masks as one HTML file, which needs no other file and no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from ..utils.checks import some
from .panel import overlay_mask

PICTURE_SIDE = 360
TABLE_ROWS = 2000  # a browser takes its time for more
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; max-width: 1700px; }
h1 { font-size: 1.4rem; margin: 0 0 .4rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .8rem 0; position: sticky;
  top: 0; padding: .4rem 0; background: Canvas; z-index: 1; }
.legend i { display: inline-block; width: .9em; height: .9em; border: 1px solid GrayText;
  margin-right: .35em; vertical-align: -1px; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(VARpx, 1fr)); }
.card { border: 1px solid #8886; border-radius: 8px; padding: .7rem; overflow-wrap: anywhere; }
.card:has(input:checked) { opacity: .3; }
.card header { display: flex; gap: .6rem; align-items: baseline; }
.card header label { margin-left: auto; white-space: nowrap; }
.pictures { display: flex; gap: .4rem; margin: .5rem 0; }
.pictures figure { margin: 0; flex: 1; min-width: 0; }
.pictures img { width: 100%; display: block; border-radius: 3px; }
figcaption, .measures, small { color: GrayText; font-size: .85rem; }
.measures b { color: CanvasText; }
.problem { color: #c22; }
table { border-collapse: collapse; margin-top: .6rem; }
th, td { text-align: right; padding: .15rem .7rem; border-bottom: 1px solid #8884; }
th:nth-child(2), td:nth-child(2), th:last-child, td:last-child { text-align: left;
  overflow-wrap: anywhere; }
"""


@dataclass
class SheetRow:
    """What the sheet tells of one image.

    Attributes:
        name: Image id.
        doubt: In [0, 1].
        measures: As many as the sheet has columns; None: does not apply.
        content: What is in the mask, in words.
        link: Address of the mask, already quoted; empty: none.
        pictures: uint8 RGB, as many as the sheet has titles of them; empty for the table below.
        problem: Why there are no pictures.
    """

    name: str
    doubt: float
    measures: Sequence[float | None]
    content: str = ''
    link: str = ''
    pictures: Sequence[np.ndarray] = field(default=(), repr=False)
    problem: str = ''


def thumbnails(
    image: np.ndarray, masks: Iterable[np.ndarray], colours: np.ndarray, side: int = PICTURE_SIDE
) -> list[np.ndarray]:
    """The image and each mask laid on it, shrunk to at most ``side`` pixels.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        masks: uint8 ``(H, W)``.
        colours: ``(256, 3)`` uint8 RGB of the values.
        side: Of the longer side; smaller images stay as they are.
    """
    scale = min(1, side / max(image.shape[:2]))
    size = tuple(max(1, round(edge * scale)) for edge in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return [small, *(overlay_mask(small, mask, colours) for mask in masks)]


def draw_sheet(
    title: str,
    columns: Sequence[str],
    rows: Sequence[SheetRow],
    titles: Sequence[str],
    legend: Sequence[tuple[str, Sequence[int]]] = (),
    notes: Sequence[str] = (),
    problems: Sequence[str] = (),
) -> Iterator[str]:
    """The page, piece by piece.

    Args:
        title: Heading.
        columns: Names of the measures.
        rows: Worst first. Those with pictures, or with a problem, become cards, the others a
            table of at most 2000 rows.
        titles: Above the pictures of a card.
        legend: Names and RGB colours.
        notes: Lines below the heading.
        problems: Lines on what could not be read.

    Yields:
        Text in which every name is escaped.
    """
    cards = [row for row in rows if row.pictures or row.problem]
    rest = [row for row in rows if not (row.pictures or row.problem)]
    style = _STYLE.replace('VAR', str(220 * len(titles)))
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><style>{style}</style></head><body>\n'
        f'<h1>{_text(title)}</h1>\n'
    )
    yield from (f'<div>{_text(note)}</div>\n' for note in notes)
    if problems:
        items = ''.join(f'<li>{_text(line)}</li>' for line in problems)
        yield (
            f'<details class="problem" open><summary>{len(problems)} images could not be looked '
            f'at</summary><ul>{items}</ul></details>\n'
        )
    chips = (
        f'<span><i style="background:{_css(c)}"></i>{_text(name)}</span>' for name, c in legend
    )
    yield f'<div class="legend">{"".join(chips)}</div>\n<div class="cards">\n'
    for place, row in enumerate(cards, 1):
        yield _card(place, row, columns, titles)
    yield '</div>\n'
    if rest:
        yield from _table(len(cards), rest, columns)
    yield '</body></html>\n'


def _card(place: int, row: SheetRow, columns: Sequence[str], titles: Sequence[str]) -> str:
    figures = ''.join(
        f'<figure><figcaption>{_text(name)}</figcaption><img alt="{_text(name)}" '
        f'src="{as_address(picture)}"></figure>'
        for name, picture in zip(titles, row.pictures, strict=bool(row.pictures))
    )
    problem = f'<div class="problem">{_text(row.problem)}</div>' if row.problem else ''
    measures = ' · '.join(
        f'{_text(name)} <b>{value:.3f}</b>'
        for name, value in zip(columns, row.measures, strict=True)
        if value is not None
    )
    return (
        f'<article class="card"><header><span>{place}.</span> {_link(row)}'
        '<label><input type="checkbox"> done</label></header>'
        f'<div class="pictures">{figures}</div>{problem}'
        f'<div class="measures">doubt <b>{row.doubt:.3f}</b> · {measures}</div>'
        f'<small>{_text(row.content)}</small></article>\n'
    )


def _table(before: int, rows: Sequence[SheetRow], columns: Sequence[str]) -> Iterator[str]:
    names = ('', 'image', 'doubt', *columns, 'mask')
    head = ''.join(f'<th>{_text(name)}</th>' for name in names)
    left = len(rows) - TABLE_ROWS
    more = f' (the first {TABLE_ROWS}; all are in the .csv file)' if left > 0 else ''
    yield f'<details><summary>{len(rows)} others{more}</summary><table><tr>{head}</tr>\n'
    for place, row in enumerate(rows[:TABLE_ROWS], before + 1):
        values = ('' if value is None else f'{value:.3f}' for value in row.measures)
        cells = [str(place), _link(row), f'{row.doubt:.3f}', *values, _text(row.content)]
        yield f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
    yield '</table></details>\n'


def _link(row: SheetRow) -> str:
    name = f'<bdi>{_text(row.name)}</bdi>'
    return f'<a href="{html.escape(row.link)}">{name}</a>' if row.link else name


def _text(value: str) -> str:
    """Escaped; bytes that are no UTF-8 are shown as such."""
    return html.escape(some([value]))


def _css(colour: Sequence[int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*(int(value) for value in colour))


def as_address(picture: np.ndarray) -> str:
    """A uint8 RGB picture as an address that needs no other file: JPEG in a data URL."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'JPEG', quality=85, subsampling=0)
    return 'data:image/jpeg;base64,' + base64.b64encode(file.getvalue()).decode()
