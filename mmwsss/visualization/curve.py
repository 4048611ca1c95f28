"""Pictures of threshold sweeps."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmwsss.utils.io import atomic_write


def draw_sweep(
    path: str | os.PathLike, thresholds: Sequence[float], miou: Sequence[float], title: str = ''
) -> None:
    """Draw the mIoU over the background threshold, with its maximum marked.

    Args:
        path: Picture to write; its extension sets the format.
        thresholds: Increasing.
        miou: In percent, NaN where undefined.
        title: Text above the curve.
    """
    # Slow to import and of use here only; without pyplot it needs no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), dpi=120, layout='constrained')
    axes = figure.subplots()
    axes.plot(thresholds, miou, marker='o' if len(thresholds) < 20 else None)
    best = max(range(len(miou)), key=lambda i: (miou[i] == miou[i], miou[i]))
    label = f'{miou[best]:.2f} at {thresholds[best]:.4g}'
    axes.plot(thresholds[best], miou[best], 'o', color='C3', label=label)
    axes.legend()
    axes.set(xlabel='background threshold', ylabel='mIoU (%)', title=title)
    axes.grid(alpha=0.3)
    with atomic_write(path) as tmp:
        figure.savefig(tmp)


def draw_training(
    losses: Mapping[str, Mapping[int, float]], miou: Mapping[str, Mapping[int, float]], title: str
) -> Any:
    """Losses of trainings over their iterations, and the mIoU of their validations beside them.

    Args:
        losses: ``{training: {iteration: loss}}``.
        miou: Likewise, in percent; may be empty.
        title: Above.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.8), layout='constrained')
    axes = figure.subplots()
    for number, (name, values) in enumerate(losses.items()):
        axes.plot(list(values), list(values.values()), color=f'C{number}', label=name)
    if any(value > 0 for values in losses.values() for value in values.values()):
        axes.set_yscale('log')
    axes.set_xlabel('iteration', fontsize=8)
    axes.set_ylabel('loss', fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7, which='both')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6)
    if any(miou.values()):
        right = axes.twinx()
        for number, name in enumerate(losses):
            points = miou.get(name, {})
            right.plot(list(points), list(points.values()), 'o--', color=f'C{number}', markersize=4)
        right.set_ylim(0, 100)
        right.set_ylabel('mIoU (%)', fontsize=8)
        right.tick_params(labelsize=7)
    return figure
