"""A page in HTML that needs no other file and no network, for light and dark screens."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

_STYLE = """
:root{color-scheme:light dark;--line:#ccc;--head:#f3f3f3;--best:#e3f1ff;--note:#fff6e0}
@media (prefers-color-scheme:dark){:root{--line:#444;--head:#262626;--best:#16324a;--note:#33290f}
img.plot{filter:invert(.9) hue-rotate(180deg)}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:82rem;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto;font-size:.9rem}
th,td{border:1px solid var(--line);padding:.2rem .5rem;text-align:right}
td{white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:13rem}.words{text-align:left}
th{background:var(--head)}tr.marked td{background:var(--best)}
img{max-width:100%;height:auto}.grid{display:flex;flex-wrap:wrap;gap:1rem}.grid img{max-width:21rem}
.grid img.plot{max-width:23.5rem}
.note{background:var(--note);border-left:4px solid #e69f00;padding:.5rem 1rem;margin:1rem 0}
.note ul{margin:0;padding-left:1.2rem}
.strip{display:grid;grid-template-columns:11rem 1fr;gap:.3rem .8rem;align-items:center}
.strip img{display:block;width:100%}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.8rem 0}
.legend i{display:inline-block;width:.9em;height:.9em;border:1px solid GrayText;margin-right:.35em}
code{background:var(--head);padding:0 .2rem}
"""


@dataclass
class Page:
    """Parts of a page, in their order; what is given as text is escaped."""

    title: str
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A heading of the second order."""
        self.parts.append(f'<h2>{html.escape(text)}</h2>')

    def paragraph(self, text: str) -> None:
        """A paragraph."""
        self.parts.append(f'<p>{html.escape(text)}</p>')

    def notes(self, lines: Sequence[str]) -> None:
        """Lines that must be seen."""
        if lines:
            items = ''.join(f'<li>{html.escape(line)}</li>' for line in lines)
            self.parts.append(f'<div class="note"><ul>{items}</ul></div>')

    def table(self, rows: Sequence[Sequence[str]], marked: Collection[int] = ()) -> None:
        """Cells with the names of columns in the first row and of rows in the first column.

        Args:
            rows: Texts.
            marked: Numbers of rows, the head being 0, that are tinted.
        """
        lines = []
        words = [' class=words' * _of_words(column[1:]) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            tag = 'td' if number else 'th'
            pairs = zip(row, words, strict=True)
            cells = (f'<{tag}{style}>{html.escape(cell)}</{tag}>' for cell, style in pairs)
            lines.append(f'<tr{" class=marked" if number in marked else ""}>{"".join(cells)}</tr>')
        self.parts.append(f'<table>{"".join(lines)}</table>')

    def figures(self, images: Iterable[str]) -> None:
        """Small figures beside each other, elements of HTML."""
        self.parts.append(f'<div class="grid">{"".join(images)}</div>')

    def strips(self, images: Mapping[str, str]) -> None:
        """Wide pictures below each other, each behind its name.

        Args:
            images: ``{name: address}``.
        """
        lines = (
            f'<div>{html.escape(name)}</div><img alt="{html.escape(name)}" src="{address}">'
            for name, address in images.items()
        )
        self.parts.append(f'<div class="strip">{"".join(lines)}</div>')

    def legend(self, colours: Mapping[str, Sequence[int]]) -> None:
        """Names with their RGB colours."""
        chips = (
            '<span><i style="background:#{:02x}{:02x}{:02x}"></i>'.format(*map(int, colour))
            + f'{html.escape(name)}</span>'
            for name, colour in colours.items()
        )
        self.parts.append(f'<div class="legend">{"".join(chips)}</div>')

    def text(self) -> str:
        """The page."""
        title = html.escape(self.title)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<style>{_STYLE}</style></head><body><h1>{title}</h1>\n'
            + '\n'.join(self.parts)
            + '\n</body></html>\n'
        )


def _of_words(cells: Iterable[str]) -> bool:
    """No cell of a column begins as a number does."""
    return not any(cell[0] in '-+.0123456789' for cell in cells if cell)


def mean_text(values: Sequence[float] | None, decimals: int = 1) -> str:
    """Mean ± sample standard deviation; the mean alone of one value, nothing of none."""
    if not values:
        return ''
    spread = f' ± {np.std(values, ddof=1):.{decimals}f}' if len(values) > 1 else ''
    return f'{np.mean(values):.{decimals}f}{spread}'
