"""Image labels from semantic masks."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from ...utils.io import read_mask


def names_in_mask(path: str | os.PathLike, foreground: Sequence[str]) -> list[str]:
    """Class names that occur in a label map, in class order.

    Args:
        path: PNG of class indices: 0 background, ``i + 1`` for ``foreground[i]``, 255 ignored.
        foreground: Class names.

    Raises:
        ValueError: Another value occurs, or the file is no label map.
    """
    present = np.flatnonzero(np.bincount(read_mask(path).ravel(), minlength=256))
    strange = present[(present > len(foreground)) & (present != 255)]
    if strange.size:
        raise ValueError(
            f'Mask {path} holds the values {strange.tolist()}, but {len(foreground)} foreground '
            f'classes allow only 0..{len(foreground)} and 255. Check the class list and whether '
            'the mask is stored with these indices.'
        )
    return [foreground[value - 1] for value in present if 0 < value != 255]


def labels_from_masks(
    folder: str | os.PathLike, foreground: Sequence[str], ids: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Image labels of all masks of a folder.

    Args:
        folder: Folder of ``<image id>.png``.
        foreground: Class names.
        ids: Image ids; None for every ``.png`` of the folder.

    Returns:
        ``{image id: [class name, ...]}``.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'Mask folder {folder} does not exist.')
    if ids is None:
        ids = sorted(path.stem for path in folder.glob('*.png') if not path.name.startswith('.'))
    if not ids:
        raise ValueError(f'Mask folder {folder} holds no .png file.')
    return {
        image_id: names_in_mask(folder / f'{image_id}.png', foreground)
        for image_id in track_iter_progress(list(ids))
    }
