"""CVAT's XML export (CVAT for images 1.1): masks, polygons and boxes."""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...utils.run_lengths import decode_runs
from .annotated import as_instances, class_index, mask_annotation, polygon_annotation
from .coco import CocoInstances, image_size, written_id
from .common import read_xml


def read_cvat(path: str | os.PathLike, classes: Sequence[str]) -> CocoInstances:
    """Read the annotations of all images, those in front (``z_order``) last.

    Args:
        path: ``annotations.xml``.
        classes: Foreground class names in the order of the mask values 1, 2, ...

    Raises:
        FileNotFoundError: No such file.
        ValueError: No such XML; two images of one name; a class that is none of ``classes``; a
            shape that is no region, or a damaged one.
    """
    root, found = read_xml(path, 'annotations'), {}
    for place, image in enumerate(root.findall('image')):
        where = f'image {image.get("id", place)}'
        try:
            image_id = written_id(image.get('name') or '', where)
            if image_id in found:
                raise ValueError(f'two images are called {image_id!r}; rename one')
            size = image_size({key: _number(image, key) for key in ('height', 'width')}, where)
            shapes = [shape for shape in image if shape.tag != 'tag']
            shapes.sort(key=lambda shape: _number(shape, 'z_order', 0))
            found[image_id] = size, [_annotation(s, i, size, classes) for i, s in enumerate(shapes)]
        except ValueError as error:
            raise ValueError(f'{path}: {where} ({image.get("name")!a}): {error}') from error
    return as_instances(path, [Path(path).read_bytes()], classes, found)


def _annotation(
    shape: ElementTree.Element, key: int, size: tuple[int, int], classes: Sequence[str]
) -> dict:
    if shape.tag not in ('mask', 'polygon', 'box'):
        raise ValueError(f'it has a <{shape.tag}>; read are masks, polygons and boxes')
    index = class_index(shape.get('label'), classes)
    if shape.tag == 'mask':
        return mask_annotation(index, _mask(shape, size), key)
    if shape.tag == 'polygon':
        pairs = [pair.split(',') for pair in shape.get('points', '').split(';')]
        return polygon_annotation(index, pairs, key)
    if float(shape.get('rotation') or 0):
        raise ValueError('it has a rotated box; draw a polygon')
    x0, y0, x1, y1 = (float(shape.get(side, 'nan')) for side in ('xtl', 'ytl', 'xbr', 'ybr'))
    return polygon_annotation(index, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], key)


def _mask(shape: ElementTree.Element, size: tuple[int, int]) -> np.ndarray:
    left, top, width, height = (_number(shape, key) for key in ('left', 'top', 'width', 'height'))
    counts = [int(count) for count in shape.get('rle', '').split(',')]
    inside = 0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]
    if not inside or min(counts) < 0 or sum(counts) != width * height or not width * height:
        raise ValueError(
            f'a mask of {width}x{height} at ({left}, {top}) does not fit the image of '
            f'{size[1]}x{size[0]}, or its run lengths ({sum(counts)}) do not fill it'
        )
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = decode_runs(counts).reshape(height, width)
    return mask


def _number(element: ElementTree.Element, key: str, default: int | None = None) -> int:
    text = element.get(key)
    if text is None and default is not None:
        return default
    try:
        return int(text)
    except (TypeError, ValueError):
        raise ValueError(f'<{element.tag}>: {key!r} must be a whole number, got {text!r}') from None
