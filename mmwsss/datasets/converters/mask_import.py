"""Finished masks of other codes as ours: one kind of class ids, the size of the image."""

import os
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from ...stores.palettes import voc_palette
from ...utils.checks import check_apart, check_choice, check_range
from ...utils.images import find_images, picture_size
from ...utils.io import IGNORE, check_some_class, read_mask, write_mask
from ...utils.provenance import claim, drop_leftovers
from .common import scan_files, warn_left_out

# Category ids of COCO that occur, in the order of the 80 classes.
_NEVER = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_IDS = tuple(i for i in range(1, 91) if i not in _NEVER)
KINDS = ('classes', 'coco91')


def id_table(kind: str, num_classes: int) -> np.ndarray:
    """Class index of every value of a mask, -1 for values that it must not hold.

    Args:
        kind: ``'classes'``: 0 to ``num_classes - 1``; ``'coco91'``: raw COCO category ids.
        num_classes: Background included.

    Returns:
        int64 ``(256,)``; 255 stays.

    Raises:
        ValueError: Unknown kind, or ``'coco91'`` for another number of classes than 81.
    """
    check_choice('ids', kind, KINDS)
    check_range('number of classes', num_classes, 2, IGNORE, integer=True)
    if kind == 'coco91' and num_classes != len(COCO_IDS) + 1:
        raise ValueError(f"ids='coco91' are those of 81 classes, not of {num_classes}")
    known = [0, *COCO_IDS] if kind == 'coco91' else list(range(num_classes))
    table = np.full(IGNORE + 1, -1)
    table[known] = np.arange(num_classes)
    table[IGNORE] = IGNORE
    return table


def import_masks(
    source: str | os.PathLike,
    out: str | os.PathLike,
    images: str | os.PathLike,
    num_classes: int,
    ids: str = 'classes',
    restart: bool = False,
) -> int:
    """Check a folder of masks, and write them with contiguous class ids.

    A run that was interrupted goes on where it stopped.

    Args:
        source: Folder of ``<image id>.png``, such as MCTformer's published masks.
        out: Folder to write to, paletted.
        images: Folder of the images, any extension: masks must have their size.
        num_classes, ids: See :func:`id_table`.
        restart: Throw away what ``out`` holds of other settings or files.

    Returns:
        The number of masks.

    Raises:
        FileNotFoundError: A folder or images are missing.
        ValueError: A mask has another size than its image or holds values that are none of the ids;
            names it. Or ``out`` is one of the inputs, or holds results of other settings.
    """
    check_apart({'the output': out}, {'source': source, 'images': images})
    table = id_table(ids, num_classes)
    scanned = scan_files(source, '.png', 'Mask')
    keys = warn_left_out(scanned)
    check_some_class(list(scanned.found.values()))
    pictures = find_images(images, keys)
    settings = dict(made_by='import_masks', num_classes=num_classes, ids=ids)
    inputs = {key: (scanned.found[key], pictures[key]) for key in keys}
    done = claim(out, '.png', settings, inputs, restart)
    drop_leftovers(out, '.png', inputs, restart)
    palette = voc_palette(num_classes)
    for key in track_iter_progress([key for key in keys if key not in done]):
        mask = imported(scanned.found[key], pictures[key], table, ids)
        write_mask(Path(out) / f'{key}.png', mask, palette)
    return len(keys)


def imported(path: Path, picture: Path, table: np.ndarray, kind: str) -> np.ndarray:
    """One mask ``(H, W)`` uint8 with the ids of ``table``; errors as in :func:`import_masks`."""
    mask = read_mask(path)
    size = picture_size(picture)
    if mask.shape != size:
        raise ValueError(
            f'{path} is a mask of {mask.shape[1]}x{mask.shape[0]} pixels, its image {picture} has '
            f'{size[1]}x{size[0]} (width x height)'
        )
    new = table[mask]
    if (new < 0).any():
        values = np.unique(mask[new < 0]).tolist()
        hint = ''
        if kind == 'classes' and max(values) <= max(COCO_IDS):
            hint = "; if they are raw COCO category ids, say ids='coco91'"
        raise ValueError(f'{path} holds the values {values[:10]}, which are none of {kind}{hint}')
    return new.astype(np.uint8)
