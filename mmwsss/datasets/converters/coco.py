"""COCO instance annotations: checked reading, image labels, split lists."""

import hashlib
import os
import reprlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.checks import check_choice, check_unique, some
from ...utils.images import image_id_of, unwritable_name
from ...utils.text import parse_json
from .common import check_class_names

OVERLAPS = ('small', 'first', 'last')
CROWDS = ('include', 'exclude', 'ignore')
MAX_NAME = 250  # in bytes, without suffix: what file systems can write
MAX_SIDE = 65535
_SINGULAR = {'images': 'image', 'categories': 'category', 'annotations': 'annotation'}
MAX_PIXELS = 178_956_970  # Pillow opens no larger picture


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
        dropped: Number of annotations by category (id and name) that were left out on demand.
    """

    path: Path
    sha1: str
    classes: tuple[str, ...]
    class_of: dict[int, int]
    images: tuple[CocoImage, ...]
    dropped: dict[str, int] = field(default_factory=dict)


def read_instances(path: str | os.PathLike, drop: Collection[int] = ()) -> CocoInstances:
    """Read a COCO instance file and check it.

    Sizes and ids may be written as ``640.0``. Segmentations and areas are not looked at; see
    :func:`~mmwsss.datasets.converters.coco_masks.semantic_mask`.

    Args:
        path: The file.
        drop: Ids of categories that are left out, with their annotations.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON; a field is missing or of another type; images share an id or a file
            name; categories share an id or a name, are called background, or are the root of
            others without having an object; an annotation is of an unknown image or category.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Annotation file {path} does not exist.')
    content = path.read_bytes()
    data = parse_json(content, path)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise ValueError(f'{path} is not a COCO instance file: it has no list {key!r}.')
    try:
        categories = _read_categories(data['categories'])
        images = _read_images(data['images'])
        by_image, counts = _group_annotations(data['annotations'], images, categories, drop)
        dropped = _drop_categories(categories, counts, drop)
        _check_roots(categories, counts)
        _check_names(categories)
    except ValueError as error:
        raise ValueError(f'{path}: {error}.') from error
    filled = [
        CocoImage(image.image_id, image.height, image.width, tuple(by_image[key]))
        for key, image in images.items()
    ]
    return CocoInstances(
        path,
        hashlib.sha1(content).hexdigest(),
        ('background', *(category['name'].strip() for category in categories.values())),
        {key: index for index, key in enumerate(categories, start=1)},
        tuple(sorted(filled, key=lambda image: image.image_id)),
        dropped,
    )


def whole_number(value: Any, what: str) -> int:
    """``value`` as int; 640.0 is one; text, truth values, NaN and 1.5 raise ValueError."""
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    raise ValueError(f'{what} must be a whole number, got {reprlib.repr(value)}')


def annotation_name(item: Mapping[str, Any]) -> str:
    """What messages call an annotation."""
    return f'annotation {reprlib.repr(item["id"])}' if 'id' in item else 'an annotation without id'


def _entries(items: list, kind: str) -> Iterator[tuple[dict, str]]:
    """The entries of a list and what messages call them: ``image 7``, or ``images[0]``."""
    for place, item in enumerate(items):
        where = f'{kind}[{place}]'
        if not isinstance(item, dict):
            raise ValueError(f'{where} is no object but {reprlib.repr(item)}')
        key = item.get('id')
        known = type(key) in (int, str)
        yield item, f'{_SINGULAR[kind]} {key!r}' if known else where


def _value(item: dict, key: str, where: str) -> Any:
    if key not in item:
        raise ValueError(f'{where}: missing field {key!r}')
    return item[key]


def _text(item: dict, key: str, where: str) -> str:
    value = _value(item, key, where)
    if not isinstance(value, str):
        raise ValueError(f'{where}: {key!r} must be text, got {reprlib.repr(value)}')
    return value


def _image_key(item: dict, key: str, where: str) -> int | str:
    """Id of an image; some exporters write text."""
    value = _value(item, key, where)
    return value if isinstance(value, str) else whole_number(value, f'{where}: {key!r}')


def _read_categories(items: list) -> dict[int, dict]:
    """``{category id: category}``, sorted."""
    categories: dict[int, dict] = {}
    for item, where in _entries(items, 'categories'):
        key = whole_number(_value(item, 'id', where), f"{where}: 'id'")
        name = _text(item, 'name', where)
        if key in categories:
            raise ValueError(
                f'the categories {categories[key]["name"]!r} and {name!r} have the same id {key}; '
                'give each its own'
            )
        if reason := unwritable_name(name.strip() or 'empty'):
            raise ValueError(f'{where} has the name {name!a}, a {reason}; rename it')
        categories[key] = item
    _check_number(categories)
    return dict(sorted(categories.items()))


def _read_images(items: list) -> dict[int | str, CocoImage]:
    """Images without their annotations by the ids of the file."""
    images: dict[int | str, CocoImage] = {}
    names: dict[int | str, str] = {}
    keys: dict[str, int | str] = {}
    for item, where in _entries(items, 'images'):
        key, name = _image_key(item, 'id', where), _text(item, 'file_name', where)
        if key in images:
            raise ValueError(
                f'the images {names[key]!r} and {name!r} have the same id {key!r}, so that '
                'annotations of one count for both; give each its own'
            )
        image_id = written_id(name, where)
        if image_id in keys:
            raise ValueError(
                f'two images have the file name {image_id!r} (without folder and suffix): '
                f'{names[keys[image_id]]!r} and {name!r}; rename one'
            )
        names[key], keys[image_id] = name, key
        images[key] = CocoImage(image_id, *image_size(item, where), ())
    if not images:
        raise ValueError("'images' is empty")
    return images


def written_id(name: str, where: str) -> str:
    """Image id of a file name, which a file can be named by.

    Raises:
        ValueError: It cannot; begins with ``where``.
    """
    image_id = image_id_of(name)
    reason = unwritable_name(image_id) if image_id else 'name of no file'
    if image_id.startswith('.'):
        reason = 'hidden file'
    elif not reason and len(image_id.encode()) > MAX_NAME:
        reason = f'name of more than {MAX_NAME} bytes'
    if reason:
        raise ValueError(
            f"{where}: 'file_name' is {name!a}, a {reason}; rename or remove the image"
        )
    return image_id


def image_size(item: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Checked ``height`` and ``width`` of an entry.

    Raises:
        ValueError: They are missing, no whole numbers or too large; begins with ``where``.
    """
    sides = []
    for key in ('height', 'width'):
        side = whole_number(_value(item, key, where), f'{where}: {key!r}')
        if not 1 <= side <= MAX_SIDE:
            raise ValueError(f'{where}: {key!r} must be in 1..{MAX_SIDE}, got {side}')
        sides.append(side)
    if sides[0] * sides[1] > MAX_PIXELS:
        raise ValueError(f'{where}: {sides[1]}x{sides[0]} are more than {MAX_PIXELS} pixels')
    return sides[0], sides[1]


def _group_annotations(
    items: list,
    images: Collection[int | str],
    categories: Collection[int],
    drop: Collection[int],
) -> tuple[dict[int | str, list[dict]], Counter]:
    """Annotations of each image without the dropped ones, and their number by category."""
    by_image: dict[int | str, list[dict]] = {key: [] for key in images}
    counts: Counter = Counter()
    for item, where in _entries(items, 'annotations'):
        image = _image_key(item, 'image_id', where)
        if image not in by_image:
            raise ValueError(f'{where} is of unknown image {image!r}')
        category = whole_number(_value(item, 'category_id', where), f"{where}: 'category_id'")
        if category not in categories:
            raise ValueError(f'{where} is of unknown category {category}')
        _check_crowd(item, where)
        counts[category] += 1
        if category not in drop:
            by_image[image].append(item)
    return by_image, counts


def _check_crowd(item: dict, where: str) -> None:
    value = item.get('iscrowd')
    if value is not None and not (isinstance(value, int | float) and value in (0, 1)):
        raise ValueError(f"{where}: 'iscrowd' must be 0 or 1, got {reprlib.repr(value)}")


def _drop_categories(
    categories: dict[int, dict], counts: Counter, drop: Collection[int]
) -> dict[str, int]:
    """Take categories out in place; returns the number of their annotations."""
    unknown = sorted(set(drop) - set(categories))
    if unknown:
        raise ValueError(
            f'there is no category {some(unknown)} to drop; the ids are {some(categories, 300)}'
        )
    dropped = {f'{key} {categories.pop(key)["name"]!r}': counts[key] for key in sorted(set(drop))}
    _check_number(categories)
    return dropped


def _check_number(categories: Collection[int]) -> None:
    if not 0 < len(categories) < 255:
        raise ValueError(f'it needs 1 to 254 categories, got {len(categories)}')


def _check_roots(categories: dict[int, dict], counts: Counter) -> None:
    """Refuse the root that some exporters put above the classes: it has no object."""
    children: dict[str, list[int]] = {}
    for key, item in categories.items():
        parent = item.get('supercategory')
        if isinstance(parent, str):
            children.setdefault(_folded(parent), []).append(key)
    roots = {}
    for key, item in categories.items():
        below = [child for child in children.get(_folded(item['name']), []) if child != key]
        if below and not counts[key]:
            roots[key] = below[0]
    if not roots:
        return
    root, child = next(iter(roots.items()))
    ids = ' '.join(map(str, roots))
    raise ValueError(
        f'category {root} {categories[root]["name"]!r} has no annotation and is the supercategory '
        f'of category {child} {categories[child]["name"]!r}: a root, as some exporters add it, '
        f'which would shift the classes. Leave it out with --drop-categories {ids}; if it is a '
        "class, take its name out of the 'supercategory' of the others"
    )


def _check_names(categories: dict[int, dict]) -> None:
    first: dict[str, int] = {}
    for key, item in categories.items():
        name = item['name']
        try:
            check_class_names([name], f'category {key}')
        except ValueError as error:
            raise ValueError(f'{error} Leave it out with --drop-categories {key}') from error
        other = first.setdefault(_folded(name), key)
        if other != key:
            raise ValueError(
                f'the categories {other} {categories[other]["name"]!r} and {key} {name!r} have the '
                'same name; rename one, or leave one out with --drop-categories'
            )


def _folded(name: str) -> str:
    return name.strip().casefold()


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


def image_labels_of_files(
    paths: Sequence[str | os.PathLike], crowd: str = 'include', drop: Collection[int] = ()
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Image labels of several instance files together, such as those of train and val.

    Args:
        paths: The files. The numbers of their images may agree, the file names may not.
        crowd: See :func:`image_labels`.
        drop: See :func:`read_instances`; the ids count for every file.

    Returns:
        The labels, and :attr:`CocoInstances.dropped` of all files.

    Raises:
        ValueError: An image id stands in two files, or class names differ in nothing but case.
    """
    check_unique('annotation files', (os.path.realpath(path) for path in paths))
    labels: dict[str, list[str]] = {}
    source: dict[str, Path] = {}
    spelling: dict[str, tuple[str, Path]] = {}
    dropped: Counter = Counter()
    for path in paths:
        coco = read_instances(path, drop)
        _check_spelling(coco, spelling)
        for image_id, names in image_labels(coco, crowd).items():
            if image_id in source:
                raise ValueError(
                    f'image {image_id!r} stands in both {source[image_id]} and {path}; rename '
                    'one, or take it out of one of the files'
                )
            labels[image_id], source[image_id] = names, coco.path
        dropped.update(coco.dropped)
    return labels, dict(dropped)


def _check_spelling(coco: CocoInstances, spelling: dict[str, tuple[str, Path]]) -> None:
    for name in coco.classes:
        other, path = spelling.setdefault(_folded(name), (name, coco.path))
        if other != name:
            raise ValueError(
                f'one class is written {other!r} in {path} and {name!r} in {coco.path}; make the '
                'names agree'
            )


def split_ids(coco: CocoInstances, annotated_only: bool = True) -> list[str]:
    """Image ids of the split: 82081 (train2014) and 40137 (val2014) when annotated only."""
    return [image.image_id for image in coco.images if image.annotations or not annotated_only]
