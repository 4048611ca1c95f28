"""YOLO's segmentation labels: a text file of polygons for each image."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...utils.images import find_images, picture_size
from ...utils.text import read_text
from .annotated import as_instances, polygon_annotation
from .coco import CocoInstances
from .common import read_class_names, scan_files, warn_left_out


def read_yolo(
    folder: str | os.PathLike, images: str | os.PathLike, classes: Sequence[str]
) -> CocoInstances:
    """Read the labels of a folder; images without a file of labels are left out.

    Args:
        folder: Folder of ``<image id>.txt`` with lines ``class x y x y ...``, classes from 0 on,
            coordinates as shares of the sides. An empty file is an image of background.
            ``classes.txt``, which some tools write beside them, is the class list.
        images: Folder of the images.
        classes: Foreground class names in the order of their numbers.

    Raises:
        FileNotFoundError: A folder or images are missing.
        ValueError: No file of labels; a line that is no polygon, such as a box; a class that is
            none of ``classes``; coordinates outside of the image; another ``classes.txt``.
    """
    scanned = scan_files(folder, '.txt', 'Label')
    keys = warn_left_out(scanned)
    if 'classes' in keys:
        _check_class_list(scanned.found['classes'], classes)
        keys.remove('classes')
    pictures, found, contents = find_images(images, keys), {}, []
    for key in keys:
        path = scanned.found[key]
        text, size = read_text(path), picture_size(pictures[key])
        contents.append(f'{key} {size} {text}'.encode())
        items = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    items.append(_annotation(line.split(), number, size, len(classes)))
                except ValueError as error:
                    raise ValueError(f'{path}, line {number}: {error}') from error
        found[key] = size, items
    return as_instances(Path(folder), contents, classes, found)


def _check_class_list(path: Path, classes: Sequence[str]) -> None:
    if (names := read_class_names(path)) != list(classes):
        raise ValueError(
            f'{path} lists the classes {names}, but those given are {list(classes)}: the numbers '
            'in the labels count by that file, give it as the class list'
        )


def _annotation(words: list[str], key: int, size: tuple[int, int], count: int) -> dict:
    if len(words) == 5:
        raise ValueError('it is a box; polygons (class x y x y x y ...) are needed for masks')
    if len(words) < 7 or len(words) % 2 == 0:
        raise ValueError(f'a polygon is a class and three points or more, got {len(words)} numbers')
    if not words[0].isdecimal() or int(words[0]) >= count:
        raise ValueError(f'class {words[0]!r} is none of the {count}, which count from 0')
    shares = [float(word) for word in words[1:]]
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError('coordinates must be shares of the sides, in [0, 1]')
    points = zip(shares[::2], shares[1::2], strict=True)
    pixels = [(round(x * size[1], 3), round(y * size[0], 3)) for x, y in points]
    return polygon_annotation(1 + int(words[0]), pixels, key)
