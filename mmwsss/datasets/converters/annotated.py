"""Regions that annotation tools hand back, in the form of COCO instances.

From there :func:`mmwsss.datasets.converters.coco_masks.write_semantic_masks` makes masks of all.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.label_file import unknown_class_message
from ...utils.checks import check_range
from ...utils.run_lengths import encode_runs
from .coco import CocoImage, CocoInstances
from .common import check_class_names


def class_index(name: Any, classes: Sequence[str]) -> int:
    """Value in masks of a foreground class.

    Raises:
        ValueError: It is none of the classes.
    """
    if name not in classes:
        raise ValueError(unknown_class_message(name, classes))
    return 1 + list(classes).index(name)


def mask_annotation(value: int, mask: np.ndarray, key: Any) -> dict:
    """Annotation of the pixels of a class, bool ``(H, W)``."""
    runs = dict(size=list(mask.shape), counts=encode_runs(mask.T.ravel()))
    return dict(id=key, category_id=value, area=int(mask.sum()), segmentation=runs)


def polygon_annotation(value: int, points: Iterable[Sequence[float]], key: Any) -> dict:
    """Annotation of a polygon ``[(x, y), ...]`` in pixels.

    Raises:
        ValueError: Less than three points, or one that is not finite.
    """
    points = [(float(x), float(y)) for x, y in points]
    if len(points) < 3 or not all(math.isfinite(v) for point in points for v in point):
        raise ValueError(
            f'a polygon needs three points or more, all of them finite: {points!r:.99}'
        )
    x, y = np.array(points).T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    flat = [v for point in points for v in point]
    return dict(id=key, category_id=value, area=area, segmentation=[flat])


def as_instances(
    path: str | os.PathLike,
    content: Iterable[bytes],
    classes: Sequence[str],
    images: Mapping[str, tuple[tuple[int, int], list[dict]]],
) -> CocoInstances:
    """Annotations of a file or folder, with classes in the order of the class list.

    Args:
        path: What was read.
        content: Its bytes.
        classes: Foreground class names.
        images: ``{image id: ((height, width), annotations)}``.

    Raises:
        ValueError: The class list is not valid, or there is no image.
    """
    check_range('number of foreground classes', len(classes), 1, 254)
    check_class_names(classes, 'The class list')
    if not images:
        raise ValueError(f'{path} holds no annotated image')
    sha1 = hashlib.sha1()
    for part in content:
        sha1.update(part)
    found = [CocoImage(key, *size, tuple(items)) for key, (size, items) in sorted(images.items())]
    return CocoInstances(
        Path(path),
        sha1.hexdigest(),
        ('background', *classes),
        {value: value for value in range(1, 1 + len(classes))},
        tuple(found),
    )
