"""Image labels from semantic masks."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from ...utils.checks import check_range
from ...utils.io import BINARY_HINT, IGNORE, read_mask
from .common import check_found, scan_files, warn_left_out


def _values(path: str | os.PathLike, foreground: Sequence[str]) -> list[int]:
    """The values of a label map other than 0, sorted; see :func:`names_in_mask`."""
    mask = read_mask(path, len(foreground) + 1)
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return [value for value in present.tolist() if value]


def names_in_mask(path: str | os.PathLike, foreground: Sequence[str]) -> list[str]:
    """Class names that occur in a label map, in class order.

    Args:
        path: PNG of class indices: 0 background, ``i + 1`` for ``foreground[i]``, 255 ignored.
        foreground: Class names.

    Raises:
        ValueError: Another value occurs, or the file is no label map.
    """
    return [foreground[value - 1] for value in _values(path, foreground) if value != IGNORE]


def labels_from_masks(
    folder: str | os.PathLike, foreground: Sequence[str], ids: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Image labels of all masks of a folder.

    Args:
        folder: Folder of ``<image id>.png``.
        foreground: Class names, 1 to 254.
        ids: Image ids; None for every ``.png`` of the folder (what is left out is logged).

    Returns:
        ``{image id: [class name, ...]}``.

    Raises:
        FileNotFoundError: No such folder, or masks of ``ids`` are missing.
        ValueError: No mask, a value that is no class, or not one class but 255 in all masks:
            binary masks of 0 and 255, most likely.
    """
    check_range('number of foreground classes', len(foreground), 1, 254)
    scanned = scan_files(folder, '.png', 'Mask')
    if ids is None:
        ids = warn_left_out(scanned)
    check_found(scanned, ids, '.png')
    values = {
        key: _values(scanned.found[key], foreground) for key in track_iter_progress(list(ids))
    }
    _check_not_binary(scanned.found, values)
    return {
        key: [foreground[value - 1] for value in present if value != IGNORE]
        for key, present in values.items()
    }


def _check_not_binary(paths: dict[str, Path], values: dict[str, list[int]]) -> None:
    present = {value for found in values.values() for value in found}
    if present == {IGNORE}:
        first = next(key for key, found in values.items() if found)
        raise ValueError(
            BINARY_HINT.format(what=f'not one of the {len(values)} masks', at=paths[first])
        )
