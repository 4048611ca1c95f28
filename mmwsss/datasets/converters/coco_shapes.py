"""Segmentations of COCO annotations: checked, then drawn.

pycocotools, whose rasterisation of polygons defines the masks, is C that trusts its input.
"""

import reprlib
from types import ModuleType
from typing import Any

import numpy as np

from .coco import MAX_SIDE, whole_number


def rasterise(shape: Any, height: int, width: int) -> np.ndarray:
    """Draw the ``segmentation`` of an annotation.

    Args:
        shape: Polygons ``[[x, y, x, y, ...], ...]`` or run lengths ``{size: [H, W], counts}``,
            whose counts are a list or compressed to text.
        height, width: Of the image.

    Returns:
        bool ``(H, W)``.

    Raises:
        ValueError: Anything else; see :func:`check_shape`.
    """
    checked = check_shape(shape, height, width)
    if isinstance(checked, np.ndarray):
        inside = np.arange(len(checked)) % 2 == 1
        return np.repeat(inside, checked).reshape(width, height).T
    coco_mask = load_pycocotools()
    parts = coco_mask.frPyObjects(checked, height, width)
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool)


def check_shape(shape: Any, height: int, width: int) -> np.ndarray | list[list[float]]:
    """Check a segmentation before it is drawn.

    Returns:
        Run lengths int64 ``(N,)``, which add up to ``height * width``, or the polygons.

    Raises:
        ValueError: No polygon; an odd number of coordinates, or less than three points;
            coordinates that are no numbers or lie far outside of any image; run lengths that are
            damaged or belong to an image of another size.
    """
    if isinstance(shape, dict):
        return _run_lengths(shape, height, width)
    if not isinstance(shape, list) or not shape:
        raise ValueError(
            f'a segmentation must be a list of polygons, or run lengths, got {reprlib.repr(shape)}'
        )
    for polygon in shape:
        _check_polygon(polygon)
    return shape


def load_pycocotools() -> ModuleType:
    """``pycocotools.mask``, or an ImportError that tells how to get it."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError(
            'Masks from COCO annotations need pycocotools, whose rasterisation of polygons defines '
            'the masks: pip install pycocotools'
        ) from error
    return mask


def _check_polygon(polygon: Any) -> None:
    if not isinstance(polygon, list):
        raise ValueError(f'a polygon must be a list of numbers, got {reprlib.repr(polygon)}')
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(
            f'a polygon needs x and y of at least three points, got {len(polygon)} numbers'
        )
    for value in polygon:
        if type(value) not in (int, float) or not -MAX_SIDE <= value <= MAX_SIDE:
            raise ValueError(
                f'a coordinate must be a number in -{MAX_SIDE}..{MAX_SIDE}, got '
                f'{reprlib.repr(value)}'
            )


def _run_lengths(shape: dict, height: int, width: int) -> np.ndarray:
    size = shape.get('size')
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"run lengths need 'size': [height, width], got {reprlib.repr(size)}")
    rows, columns = (whole_number(side, "'size'") for side in size)
    if (rows, columns) != (height, width):
        raise ValueError(f'its mask is {columns}x{rows} but the image is {width}x{height}')
    counts = shape.get('counts')
    if isinstance(counts, str):
        counts = decode_counts(counts)
    elif isinstance(counts, list):
        counts = [whole_number(count, "'counts'") for count in counts]
    else:
        raise ValueError(f"run lengths need 'counts', got {reprlib.repr(counts)}")
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(
            f'its {len(counts)} run lengths must be 0 or more and add up to the {height * width} '
            f'pixels of {width}x{height}; they add up to {sum(counts)}'
        )
    return np.array(counts, dtype=np.int64)


def decode_counts(text: str) -> list[int]:
    """Decode COCO's compressed run lengths.

    A number is a row of characters 48 to 111: five bits each, lowest first, 32 says that more
    follow, and the highest bit of the last one is the sign. From the fourth number on it is the
    difference to the one two places before.

    Raises:
        ValueError: Another character, or a number that does not end.

    Example:
        >>> decode_counts('52203')
        [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f'its compressed run lengths are damaged at {character!r}')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError('its compressed run lengths are cut off')
    return counts
