"""YOLO segmentation labels: a text file for each image, a polygon for every connected region."""

import json
from collections.abc import Sequence

from .formats import ExportOptions, Picture
from .regions import connected_regions, outline


def describe(picture: Picture, classes: Sequence[str], options: ExportOptions) -> str:
    """Lines ``class x y x y ...``: classes without background, from 0 on; shares of the sides.

    A hole is part of its polygon (:func:`mmwsss.exporters.regions.outline`).
    """
    height, width = picture.mask.shape
    lines = []
    for region in connected_regions(picture.mask):
        shares = outline(region, options.tolerance) / (width, height)
        numbers = ' '.join(f'{value:.7g}' for value in shares.ravel())
        lines.append(f'{region.value - 1} {numbers}\n')
    return ''.join(lines)


def settings(classes: Sequence[str]) -> str:
    """``data.yaml`` beside the folders ``images`` and ``labels``."""
    names = ''.join(f'  {i}: {json.dumps(name)}\n' for i, name in enumerate(classes))
    return f'train: images\nval: images\nnames:\n{names}'
