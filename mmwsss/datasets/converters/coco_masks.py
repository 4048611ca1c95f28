"""Semantic masks from COCO instance annotations, and their comparison."""

import logging
import math
import os
import re
import reprlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmengine.utils import track_iter_progress

from ...stores.palettes import voc_palette
from ...utils.checks import check_choice, check_distinct_files, check_range, some
from ...utils.io import IGNORE, is_whole, list_files, read_mask, write_json, write_mask
from ...utils.parallel import map_parallel
from ...utils.text import read_json
from .coco import CROWDS, OVERLAPS, CocoImage, CocoInstances, annotation_name
from .coco_shapes import check_shape, load_pycocotools, rasterise


def semantic_mask(
    image: CocoImage, class_of: dict[int, int], overlap: str = 'small', crowd: str = 'include'
) -> np.ndarray:
    """Flatten the instances of one image to a label map.

    Args:
        image: Size and annotations.
        class_of: ``{category id: class index}``.
        overlap: Which object owns a pixel that several cover: 'small' the one of smallest
            ``area`` (ties: the later one), 'first' or 'last' in the order of the file.
        crowd: Crowd regions count as objects ('include'), are left out ('exclude'), or their
            pixels that no object covers become 255 ('ignore').

    Returns:
        uint8 ``(H, W)``: 0 background, 1..C, 255 only with ``crowd='ignore'``.

    Raises:
        ValueError: An annotation is damaged; names it and the image.
    """
    check_choice('overlap', overlap, OVERLAPS)
    check_choice('crowd', crowd, CROWDS)
    crowds, objects = _checked_annotations(image, overlap, crowd)
    mask = np.zeros((image.height, image.width), dtype=np.uint8)
    for item in crowds:
        mask[rasterise(item['segmentation'], image.height, image.width)] = IGNORE
    for item in objects:
        region = rasterise(item['segmentation'], image.height, image.width)
        mask[region] = class_of[item['category_id']]
    return mask


def _checked_annotations(
    image: CocoImage, overlap: str, crowd: str
) -> tuple[list[dict], list[dict]]:
    """Crowd regions to be ignored, and the objects from back to front."""
    crowds = [item for item in image.annotations if crowd == 'ignore' and item.get('iscrowd')]
    objects = _objects(image, crowd)
    for item in (*crowds, *objects):
        try:
            check_shape(item.get('segmentation'), image.height, image.width)
        except ValueError as error:
            raise ValueError(
                f'image {image.image_id}: {annotation_name(item)} has no valid segmentation: '
                f'{error}'
            ) from error
    if overlap == 'small':
        for item in objects:
            _check_area(item, f'image {image.image_id}: {annotation_name(item)}')
        objects.sort(key=lambda item: item['area'], reverse=True)
    elif overlap == 'first':
        objects.reverse()
    return crowds, objects


def _objects(image: CocoImage, crowd: str) -> list[dict]:
    return [item for item in image.annotations if crowd == 'include' or not item.get('iscrowd')]


def _check_area(item: dict, where: str) -> None:
    if 'area' not in item:
        raise ValueError(f"{where} has no 'area', which the overlap 'small' needs")
    area = item['area']
    if type(area) not in (int, float) or not 0 <= area < math.inf:
        raise ValueError(
            f"{where}: 'area', which the overlap 'small' needs, must be a number from 0 on, got "
            f'{reprlib.repr(area)}'
        )


def _write_one(
    image: CocoImage,
    folder: Path,
    class_of: dict[int, int],
    overlap: str,
    crowd: str,
    palette: list,
) -> np.ndarray:
    """Write the mask of one image unless it is there; returns its pixel counts ``(256,)``."""
    path = folder / f'{image.image_id}.png'
    if is_whole(path):
        mask = read_mask(path, len(class_of) + 1)
        if mask.shape != (image.height, image.width):
            raise ValueError(
                f'{path} is a mask of {mask.shape[1]}x{mask.shape[0]} but the image has '
                f'{image.width}x{image.height}; remove it, and it will be made again'
            )
    else:
        mask = semantic_mask(image, class_of, overlap, crowd)
        write_mask(path, mask, palette)
    return np.bincount(mask.ravel(), minlength=256)


def write_semantic_masks(
    coco: CocoInstances,
    folder: str | os.PathLike,
    overlap: str = 'small',
    crowd: str = 'include',
    nproc: int = 1,
) -> dict:
    """Write ``<image id>.png`` of every image and ``meta.json``.

    An interrupted run goes on where it was. Images without annotation get an all-background
    mask. All annotations are checked before the first mask is written. Classes of which an image
    shows no pixel though it is annotated (an outline thinner than a pixel, or beside the image, or
    objects hidden by others) are logged as a warning.

    Args:
        coco: The annotations.
        folder: Output folder.
        overlap: See :func:`semantic_mask`.
        crowd: See :func:`semantic_mask`.
        nproc: Number of processes.

    Returns:
        The content of ``meta.json``: the rule, the classes and category ids, name and SHA-1 of
        the annotation file, pixels and images per class, and the images in which annotated classes
        have no pixel.

    Raises:
        ValueError: The folder holds masks of another rule or annotation file, an annotation is
            damaged, or an argument is wrong.
        ImportError: pycocotools is missing.
    """
    check_choice('overlap', overlap, OVERLAPS)
    check_choice('crowd', crowd, CROWDS)
    check_range('nproc', nproc, 1, integer=True)
    load_pycocotools()
    _check_all(coco, overlap, crowd)
    folder = Path(folder)
    check_distinct_files(folder, (image.image_id for image in coco.images))
    meta = {
        'overlap': overlap,
        'crowd': crowd,
        'annotation_file': coco.path.name,
        'annotation_sha1': coco.sha1,
        'classes': list(coco.classes),
        'category_ids': sorted(coco.class_of),
        'num_images': len(coco.images),
    }
    _claim_folder(folder, meta)
    write = partial(
        _write_one,
        folder=folder,
        class_of=coco.class_of,
        overlap=overlap,
        crowd=crowd,
        palette=voc_palette(len(coco.classes)),
    )
    counts = np.stack(map_parallel(write, coco.images, nproc, chunk=16))
    names = _value_names(coco.classes)
    meta['pixels'] = {name: int(counts[:, index].sum()) for index, name in names.items()}
    meta['images'] = {name: int((counts[:, index] > 0).sum()) for index, name in names.items()}
    meta['without_pixels'] = _without_pixels(coco, counts, crowd)
    meta['complete'] = True
    write_json(folder / 'meta.json', meta)
    return meta


def _without_pixels(coco: CocoInstances, counts: np.ndarray, crowd: str) -> dict[str, list[str]]:
    """``{class: image ids}`` of annotated classes without a pixel; logged as a warning.

    Args:
        coco: The annotations of N images.
        counts: Pixels of every value of their masks, ``(N, 256)``.
        crowd: See :func:`semantic_mask`.
    """
    found: dict[str, list[str]] = {}
    for image, count in zip(coco.images, counts, strict=True):
        annotated = {coco.class_of[item['category_id']] for item in _objects(image, crowd)}
        for index in sorted(annotated - set(np.flatnonzero(count).tolist())):
            found.setdefault(coco.classes[index], []).append(image.image_id)
    if found:
        images = len(set().union(*found.values()))
        print_log(
            f'{coco.path}: {images} images have annotated classes without a pixel in their masks: '
            f'{some((f"{name!r} in {some(ids, 2)}" for name, ids in found.items()), 3)}. The '
            'outlines are thinner than a pixel, lie beside the image, or are hidden by other '
            'objects; meta.json names all.',
            'current',
            logging.WARNING,
        )
    return found


def _value_names(classes: Sequence[str]) -> dict[int, str]:
    return {**dict(enumerate(classes)), IGNORE: '255' if 'ignore' in classes else 'ignore'}


def _check_all(coco: CocoInstances, overlap: str, crowd: str) -> None:
    for image in coco.images:
        try:
            _checked_annotations(image, overlap, crowd)
        except ValueError as error:
            raise ValueError(f'{coco.path}: {error}.') from error


def _claim_folder(folder: Path, meta: dict) -> None:
    """Write the rule into an empty folder, or compare it with that of an earlier run."""
    path = folder / 'meta.json'
    if not path.exists():
        if list_files(folder, '.png'):
            raise ValueError(
                f'{folder} holds masks but no meta.json, so it is not known how they were made. '
                'Choose an empty folder.'
            )
        write_json(path, {**meta, 'complete': False})
        return
    earlier = read_meta(folder)
    differing = [key for key in meta if earlier.get(key) != meta[key]]
    if differing:
        what = ', '.join(
            f'{key} {reprlib.repr(earlier.get(key))} -> {reprlib.repr(meta[key])}'
            for key in differing[:3]
        )
        raise ValueError(
            f'{folder} was made differently ({what}). Choose another folder or remove this one.'
        )


def read_meta(folder: str | os.PathLike) -> dict:
    """Read the ``meta.json`` of a mask folder.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not one that :func:`write_semantic_masks` wrote.
    """
    path = Path(folder) / 'meta.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist. Is {folder} a folder made by tools/dataset_converters/coco.py?'
        )
    meta = read_json(path)
    lists = isinstance(meta, dict) and all(
        isinstance(meta.get(key), list) for key in ('classes', 'category_ids')
    )
    if not lists or len(meta['classes']) != len(meta['category_ids']) + 1:
        raise ValueError(
            f'{path} was not written by tools/dataset_converters/coco.py: it has no lists '
            "'classes' and 'category_ids' that fit."
        )
    return meta


def _find_mask(folder: Path, image_id: str) -> Path | None:
    """``<id>.png``; for the names of COCO also the 12-digit number, or without leading zeros."""
    names = [image_id]
    if match := re.fullmatch(r'(?:COCO_\w+_)?(\d{12})', image_id):
        names += [match[1], match[1].lstrip('0')]
    paths = [folder / f'{name}.png' for name in dict.fromkeys(names) if name]
    found = [path for path in paths if path.is_file()]
    if len(found) > 1:
        raise ValueError(f'{found[0]} and {found[1]} are masks of one image; remove one')
    return found[0] if found else None


def compare_masks(ours: str | os.PathLike, other: str | os.PathLike, raw_ids: bool = False) -> dict:
    """Count the pixels on which two mask folders disagree.

    Args:
        ours: Folder made by :func:`write_semantic_masks`.
        other: Another folder of masks of the same images, named as ours or, for COCO's names, by
            the number of the image with or without leading zeros.
        raw_ids: The other masks hold category ids (COCO: 1..90) instead of contiguous classes.

    Returns:
        ``images`` compared, ``missing`` ids without a mask in ``other``, ``pixels`` compared,
        ``differing_pixels``, ``differing_images``, and ``pairs``, the ten most frequent
        ``[our class, other class, pixels]``.

    Raises:
        FileNotFoundError: No mask of ``other`` belongs to ours.
        ValueError: One folder twice, ours is unfinished, sizes differ, or a mask of ``other``
            holds a value that is no class.
    """
    ours, other = Path(ours), Path(other)
    if os.path.realpath(ours) == os.path.realpath(other):
        raise ValueError(f'both folders are {ours}: there is nothing to compare')
    meta = read_meta(ours)
    if not meta.get('complete'):
        raise ValueError(f'the masks in {ours} are not finished; give the command masks again')
    names = _value_names(meta['classes'])
    table = _class_table(meta['category_ids'], raw_ids)
    confusion = np.zeros((256, 256), dtype=np.int64)
    missing, differing_images, images = [], 0, 0
    for image_id, path in track_iter_progress(list(list_files(ours, '.png').items())):
        partner = _find_mask(other, image_id)
        if partner is None:
            missing.append(image_id)
            continue
        mask = read_mask(path, len(meta['classes']))
        pair = _confusion(mask, read_mask(partner), table, path, partner)
        confusion += pair
        images += 1
        differing_images += int(pair.sum() != np.trace(pair))
    if not images:
        raise FileNotFoundError(f'{other} holds no mask of the images in {ours}.')
    off = confusion - np.diag(np.diag(confusion))
    top = np.argsort(off, axis=None)[::-1][:10]
    pairs = [
        [names[int(index) // 256], names[int(index) % 256], int(off.flat[index])]
        for index in top
        if off.flat[index]
    ]
    return {
        'images': images,
        'missing': missing,
        'pixels': int(confusion.sum()),
        'differing_pixels': int(off.sum()),
        'differing_images': differing_images,
        'pairs': pairs,
    }


def _class_table(category_ids: list[int], raw_ids: bool) -> np.ndarray:
    """Class index of every value of the other masks; -1 where it is none. int ``(256,)``."""
    if raw_ids:
        for key in category_ids:
            check_range('category id with --raw-ids', key, 1, 254, integer=True)
    known = [0, *category_ids] if raw_ids else range(len(category_ids) + 1)
    table = np.full(256, -1)
    table[list(known)] = np.arange(len(category_ids) + 1)
    table[IGNORE] = IGNORE
    return table


def _confusion(
    mask: np.ndarray, other: np.ndarray, table: np.ndarray, path: Path, partner: Path
) -> np.ndarray:
    if mask.shape != other.shape:
        raise ValueError(f'{path} has shape {mask.shape} but {partner} has {other.shape}.')
    mapped = table[other]
    if (mapped < 0).any():
        values = np.unique(other[mapped < 0]).tolist()
        raise ValueError(
            f'{partner} holds the values {values}, which are no classes. Masks that hold raw '
            'category ids need --raw-ids.'
        )
    keys = mask.ravel().astype(np.int64) * 256 + mapped.ravel()
    return np.bincount(keys, minlength=65536).reshape(256, 256)
