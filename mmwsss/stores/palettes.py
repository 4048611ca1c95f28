"""Colours of label maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IGNORE_COLOUR = (200, 200, 200)


def voc_palette(num_classes: int) -> list[list[int]]:
    """The colour map of PASCAL VOC continued to ``num_classes`` colours.

    Bits 0, 1, 2 of the class index set the highest bits of red, green, blue, bits 3, 4, 5
    the next highest, and so on.
    """
    return [
        [
            sum(((index >> (3 * k + channel)) & 1) << (7 - k) for k in range(8))
            for channel in range(3)
        ]
        for index in range(num_classes)
    ]


def colour_table(palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Colours of all values of a label map: those of the classes, and grey for all others.

    Args:
        palette: At most 256 RGB colours. All 256 colour the value 255 (ignore), too.

    Returns:
        uint8 ``(256, 3)``.
    """
    colours = np.full((256, 3), IGNORE_COLOUR, np.uint8)
    colours[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)
    return colours
