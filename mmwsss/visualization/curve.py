"""Pictures of threshold sweeps."""

import os
from collections.abc import Sequence

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
