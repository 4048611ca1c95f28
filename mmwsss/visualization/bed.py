"""Figures of the bed: curves over tau, heat maps of both thresholds, bars of all cells."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#555555', '#8c564b')
_STYLES = ('-', '--', ':', '-.')


def draw_curves(curves: Sequence[tuple[str, Sequence[float], np.ndarray]], title: str) -> Any:
    """mIoU over tau, a line for each saliency.

    Args:
        curves: Name, taus and mIoU in percent of every line.
        title: Above.

    Returns:
        A figure of matplotlib.
    """
    figure, axes = _figure(6.4, 4.0)
    for i, (name, taus, miou) in enumerate(curves):
        colour = _COLOURS[i % len(_COLOURS)]
        style = _STYLES[i // len(_COLOURS) % len(_STYLES)]
        axes.plot(taus, miou, style, color=colour, label=name, linewidth=1.6)
        if np.isfinite(miou).any():
            best = int(np.nanargmax(miou))
            axes.plot(taus[best], miou[best], 'o', color=colour, markersize=4)
    axes.set(xlabel='activation threshold tau', ylabel='mIoU (%)', title=title)
    axes.grid(alpha=0.3)
    beside = len(curves) > 6
    place = dict(loc='center left', bbox_to_anchor=(1.0, 0.5)) if beside else {}
    axes.legend(fontsize=8, **place)
    return figure


def draw_heat(
    taus: Sequence[float],
    thresholds: Sequence[float],
    miou: np.ndarray,
    title: str,
    best: tuple[int, int],
    preset: tuple[int, int] | None = None,
    limits: tuple[float, float] | None = None,
) -> Any:
    """mIoU of all pairs of thresholds.

    Args:
        taus, thresholds: Of the rows and columns of ``miou`` ``(T, S)`` in percent.
        title: Above.
        best, preset: Places that are marked, with a circle and a square.
        limits: Of the colours; None: those of ``miou``.

    Returns:
        A figure of matplotlib.
    """
    figure, axes = _figure(4.2, 3.6)
    low, high = limits or (None, None)
    shown = axes.imshow(
        miou, origin='lower', aspect='auto', cmap='viridis', vmin=low, vmax=high,
        interpolation='nearest',
    )  # fmt: skip
    for place, marker, size in ((best, 'o', 9), (preset, 's', 11)):
        if place is not None:
            axes.plot(
                place[1], place[0], marker, fillstyle='none', color='white', markersize=size,
                markeredgewidth=1.8,
            )  # fmt: skip
    for axis, values, name in (
        (axes.xaxis, thresholds, 'saliency threshold s'),
        (axes.yaxis, taus, 'tau'),
    ):
        ticks = np.unique(np.linspace(0, len(values) - 1, min(6, len(values))).round().astype(int))
        labels = [
            'soft' if values[i] == 0 and axis is axes.xaxis else f'{values[i]:g}' for i in ticks
        ]
        axis.set_ticks(ticks, labels)
        axis.set_label_text(name)
    axes.set_title(title, fontsize=10)
    figure.colorbar(shown, label='mIoU (%)')
    return figure


def draw_bars(
    names: Sequence[str],
    best: Sequence[float],
    preset: Sequence[float | None],
    marks: Sequence[bool],
    published: Sequence[tuple[float, float] | None] = (),
    retrained: Sequence[tuple[float, float] | None] = (),
    network: str = 'network, val',
) -> Any:
    """Best and published settings of every cell, and the networks that were trained on them.

    Args:
        names: Of the cells.
        best, preset: mIoU in percent of the labels.
        marks: Cells whose saliency has seen masks of the classes: drawn with a star.
        published, retrained: Mean and deviation of networks on val.
        network: What the legend calls ``retrained``.

    Returns:
        A figure of matplotlib.
    """
    figure, axes = _figure(7.2, 1.1 + 0.42 * len(names))
    places = np.arange(len(names))
    axes.barh(places - 0.19, best, 0.36, color=_COLOURS[0], label='best on ground truth')
    given = [np.nan if value is None else value for value in preset]
    axes.barh(places + 0.19, given, 0.36, color=_COLOURS[4], label='published settings')
    series = (
        (network, retrained, 'D', _COLOURS[2]),
        ('published network, val, from COCO masks', published, 'x', _COLOURS[1]),
    )
    for label, pairs, marker, colour in series:
        known = [(place, *pair) for place, pair in zip(places, pairs, strict=False) if pair]
        if known:
            at, mean, deviation = zip(*known, strict=True)
            axes.errorbar(mean, at, xerr=deviation, fmt=marker, color=colour, label=label)
    labels = [f'{name} *' if mark else name for name, mark in zip(names, marks, strict=True)]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlabel='mIoU (%)')
    axes.margins(y=0.02)
    if any(marks):
        axes.set_xlabel('mIoU (%); * the saliency has seen masks of the same classes')
    axes.grid(alpha=0.3, axis='x')
    figure.legend(fontsize=8, loc='outside upper right', ncols=2)
    return figure


def as_png(figure: Any) -> bytes:
    """The figure as a PNG file."""
    return _saved(figure, 'png', dict(Software=None))


def as_image(figure: Any, alternative: str, css: str = '') -> str:
    """The figure as an element of HTML, of a class ``css``, that needs no other file."""
    data = base64.b64encode(_saved(figure, 'svg', dict(Date=None))).decode()
    kind = f' class="{css}"' if css else ''
    return f'<img{kind} alt="{html.escape(alternative)}" src="data:image/svg+xml;base64,{data}">'


def _saved(figure: Any, kind: str, metadata: dict) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({'svg.hashsalt': 'mmwsss', 'svg.fonttype': 'path'}):
        figure.savefig(file, format=kind, dpi=120, metadata=metadata)
    return file.getvalue()


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # Slow to import and of use here only; without pyplot it needs no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots()
