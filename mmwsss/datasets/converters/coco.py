"""COCO instance annotations: image labels, split lists."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

OVERLAPS = ('small', 'first', 'last')
CROWDS = ('include', 'exclude', 'ignore')


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise ValueError, listing ``choices``, if ``value`` is none of them."""
    if value not in choices:
        raise ValueError(f'{name} must be one of {", ".join(choices)}, got {value!r}')


@dataclass(frozen=True)
class CocoImage:
    """One image and its annotations, in the order of the file."""

    image_id: str
    height: int
    width: int
    annotations: tuple[dict, ...]


@dataclass(frozen=True)
class CocoInstances:
    """A checked ``instances_*.json``.

    Attributes:
        path: The file.
        sha1: Its SHA-1.
        classes: Class names: background, then the categories in the order of their ids.
        class_of: ``{category id: contiguous class index 1..C}``.
        images: All images, sorted by image id.
    """

    path: Path
    sha1: str
    classes: tuple[str, ...]
    class_of: dict[int, int]
    images: tuple[CocoImage, ...]


def read_instances(path: str | os.PathLike) -> CocoInstances:
    """Read a COCO instance file and check it.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON, keys missing, two images with one id, or an annotation of an
            unknown image or category.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Annotation file {path} does not exist.')
    content = path.read_bytes()
    try:
        data = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is not valid JSON: {error}.') from error
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise ValueError(f'{path} is not a COCO instance file: it has no list {key!r}.')
    try:
        classes, class_of, images = _index(data)
    except (KeyError, TypeError) as error:
        raise ValueError(f'{path} is not a COCO instance file: missing field {error}.') from error
    except ValueError as error:
        raise ValueError(f'{path}: {error}.') from error
    return CocoInstances(path, hashlib.sha1(content).hexdigest(), classes, class_of, images)


def _index(data: dict) -> tuple[tuple[str, ...], dict[int, int], tuple[CocoImage, ...]]:
    categories = sorted(data['categories'], key=lambda category: category['id'])
    class_of = {category['id']: rank for rank, category in enumerate(categories, start=1)}
    if len(class_of) != len(categories) or not 0 < len(categories) < 255:
        raise ValueError('it needs 1 to 254 categories with different ids')
    by_image: dict[int, list[dict]] = {image['id']: [] for image in data['images']}
    for item in data['annotations']:
        if item['image_id'] not in by_image:
            raise ValueError(f'annotation {item["id"]} is of unknown image {item["image_id"]}')
        if item['category_id'] not in class_of:
            raise ValueError(
                f'annotation {item["id"]} is of unknown category {item["category_id"]}'
            )
        by_image[item['image_id']].append(item)
    images = [
        CocoImage(
            Path(image['file_name']).stem,
            image['height'],
            image['width'],
            tuple(by_image[image['id']]),
        )
        for image in data['images']
    ]
    images.sort(key=lambda image: image.image_id)
    for one, other in pairwise(images):
        if one.image_id == other.image_id:
            raise ValueError(f'two images have the file name {one.image_id!r}')
    names = ('background', *(category['name'] for category in categories))
    return names, class_of, tuple(images)


def image_labels(coco: CocoInstances, crowd: str = 'include') -> dict[str, list[str]]:
    """Image labels ``{image id: [class name, ...]}`` of all images, in class order.

    Args:
        coco: The annotations.
        crowd: 'include' counts crowd regions as objects, 'exclude' does not.
    """
    check_choice('crowd', crowd, ('include', 'exclude'))
    labels = {}
    for image in coco.images:
        present = {
            coco.class_of[item['category_id']]
            for item in image.annotations
            if crowd == 'include' or not item.get('iscrowd')
        }
        labels[image.image_id] = [coco.classes[index] for index in sorted(present)]
    return labels


def split_ids(coco: CocoInstances, annotated_only: bool = True) -> list[str]:
    """Image ids of the split: 82081 (train2014) and 40137 (val2014) when annotated only."""
    return [image.image_id for image in coco.images if image.annotations or not annotated_only]
