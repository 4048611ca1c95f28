"""Label Studio's JSON export: brushes, polygons and rectangles of corrected tasks."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...utils.checks import check_choice
from ...utils.images import find_images, picture_size
from ...utils.run_lengths import decode_brush
from ...utils.text import parse_json
from .annotated import as_instances, class_index, mask_annotation, polygon_annotation
from .coco import CocoInstances, image_size, written_id

SOURCES = ('annotations', 'predictions')
SEVERAL = ('refuse', 'newest')


def read_label_studio(
    path: str | os.PathLike,
    classes: Sequence[str],
    use: str = 'annotations',
    several: str = 'refuse',
    images: str | os.PathLike | None = None,
) -> tuple[CocoInstances, list[str]]:
    """Read tasks as Label Studio exports them (format JSON).

    The image of a task is ``data.image_id``, which ``tools/export_masks.py`` writes, else the name
    of the file in ``data.image``. Its size stands in the results, else in ``data``, else it is that
    of the file in ``images``.

    Args:
        path: The file.
        classes: Foreground class names in the order of the mask values 1, 2, ...
        use: ``'annotations'``, or ``'predictions'`` that nobody has looked at.
        several: What is done if a task has several of them: ``'refuse'``, or take the
            ``'newest'``. Those that were cancelled do not count.
        images: Folder of the images, whose sizes the annotations then must have.

    Returns:
        The annotations, and the ids of images whose tasks have none and are left out.

    Raises:
        FileNotFoundError: No such file, or images are missing.
        ValueError: No list of tasks; a task without image or size; two of one image; a class that
            is none of ``classes``; a result that is no region, or a damaged one.
    """
    check_choice('use', use, SOURCES)
    check_choice('several', several, SEVERAL)
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'Annotation file {path} does not exist.')
    content = path.read_bytes()
    tasks = parse_json(content, path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(f"{path} is no list of tasks: export the project in the format 'JSON'")
    by_id = {}
    for place, task in enumerate(tasks):
        try:
            image_id = _image_id(task, f'task {task.get("id", place)}')
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        if image_id in by_id:
            raise ValueError(f'{path}: two tasks are of image {image_id!r}; remove one')
        by_id[image_id] = task
    pictures = find_images(images, by_id) if images is not None else {}
    found, left_out = {}, []
    for image_id, task in by_id.items():
        try:
            results = _results(task, use, several)
            if results is None:
                left_out.append(image_id)
                continue
            size = _size(task, results, pictures.get(image_id))
            found[image_id] = size, [_annotation(item, size, classes) for item in results]
        except ValueError as error:
            raise ValueError(f'{path}: image {image_id!r}: {error}') from error
    if not found:
        raise ValueError(f'{path}: not one of {len(tasks)} tasks has {use}')
    return as_instances(path, [content, f'{use} {several}'.encode()], classes, found), left_out


def _image_id(task: Mapping[str, Any], where: str) -> str:
    data = task.get('data')
    if not isinstance(data, dict):
        raise ValueError(f"{where} has no 'data'")
    if isinstance(data.get('image_id'), str):
        return written_id(f'{data["image_id"]}.png', where)
    url = data.get('image')
    if not isinstance(url, str):
        raise ValueError(
            f"{where}: 'data' has neither 'image_id' nor 'image', which names the file"
        )
    if not ('://' in url or '?d=' in url or url.startswith('/data/')):  # a file, not an address
        return written_id(url, where)
    parts = urlsplit(url)
    local = parse_qs(parts.query).get('d')
    return written_id(local[0] if local else unquote(parts.path), where)


def _results(task: Mapping[str, Any], use: str, several: str) -> list[dict] | None:
    """The regions of a task; None if nobody has annotated it."""
    given = task.get(use) or []
    if not isinstance(given, list):
        raise ValueError(f'its {use} are no list')
    entries = [e for e in given if isinstance(e, dict) and not e.get('was_cancelled')]
    if not entries:
        return None
    if len(entries) > 1 and several == 'refuse':
        raise ValueError(
            f"it has {len(entries)} {use}: remove all but one, or take the 'newest' (--several)"
        )
    times = [str(entry.get('updated_at') or entry.get('created_at') or '') for entry in entries]
    if times.count(max(times)) > 1:
        raise ValueError(
            f'it has {len(entries)} {use}, and which is the newest is not known, since several are '
            'of one time or of none: remove all but one'
        )
    entry = entries[times.index(max(times))]
    results = entry.get('result')
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise ValueError(f"one of its {use} has no list 'result'")
    return results


def _size(task: Mapping, results: list[dict], picture: Path | None) -> tuple[int, int]:
    """Height and width, the same in all results."""
    sizes = {
        image_size(dict(height=r.get('original_height'), width=r.get('original_width')), 'a result')
        for r in results
    }
    if not sizes and {'height', 'width'} <= set(task['data']):
        sizes = {image_size(task['data'], "its 'data'")}
    if picture is not None:
        sizes.add(picture_size(picture))
    if not sizes:
        raise ValueError('it has no region, and so no size: name the folder of images (--images)')
    if len(sizes) > 1:
        shown = ' and '.join(f'{w}x{h}' for h, w in sorted(sizes))
        raise ValueError(f'its sizes differ: {shown} (width x height)')
    return sizes.pop()


def _annotation(item: dict, size: tuple[int, int], classes: Sequence[str]) -> dict:
    kind, value, key = item.get('type'), item.get('value'), item.get('id')
    if kind not in ('brushlabels', 'polygonlabels', 'rectanglelabels') or not isinstance(
        value, dict
    ):
        raise ValueError(
            f'result {key!r} is of type {kind!r}; read are brushlabels, polygonlabels and '
            'rectanglelabels'
        )
    if item.get('image_rotation'):
        raise ValueError(f'result {key!r} was drawn on a rotated image; rotate it back')
    names = value.get(kind)
    if not isinstance(names, list) or len(names) != 1:
        raise ValueError(f'result {key!r} must have one label, got {names!r}')
    try:
        index = class_index(names[0], classes)
        if kind == 'brushlabels':
            return mask_annotation(index, decode_brush(value.get('rle'), *size), key)
        return polygon_annotation(index, _points(kind, value, size), key)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'result {key!r}: {error}') from error


def _points(kind: str, value: dict, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Corners in pixels; Label Studio counts in percent."""
    if kind == 'polygonlabels':
        points = value['points']
    elif value.get('rotation'):
        raise ValueError('it is a rotated rectangle; draw a polygon')
    else:
        x0, y0 = value['x'], value['y']
        x1, y1 = x0 + value['width'], y0 + value['height']
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return [(x * size[1] / 100, y * size[0] / 100) for x, y in points]
