"""Semantic masks from COCO instance annotations, and their comparison."""

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress, track_parallel_progress, track_progress

from ...utils.io import atomic_write, read_mask, write_mask
from ..coco14 import voc_palette
from .coco import CROWDS, OVERLAPS, CocoImage, CocoInstances, check_choice

IGNORE = 255


def _rasterise(item: dict, height: int, width: int) -> np.ndarray:
    """Polygons, uncompressed or compressed run lengths -> bool ``(H, W)``."""
    try:
        from pycocotools import mask as coco_mask
    except ImportError as error:
        raise ImportError(
            'Masks from COCO annotations need pycocotools, whose rasterisation of polygons defines '
            'the masks: pip install pycocotools'
        ) from error
    try:
        shape = item['segmentation']
        if isinstance(shape, list):
            rle = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
        elif isinstance(shape['counts'], list):
            rle = coco_mask.frPyObjects(shape, height, width)
        else:
            rle = shape
        region = coco_mask.decode(rle).astype(bool)
    except Exception as error:  # pycocotools raises bare Exception, too
        raise ValueError(
            f'annotation {item["id"]} has no valid segmentation ({type(error).__name__}: {error})'
        ) from error
    if region.shape != (height, width):
        raise ValueError(
            f'annotation {item["id"]}: its mask is {region.shape[1]}x{region.shape[0]} but the '
            f'image is {width}x{height}'
        )
    return region


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
    """
    check_choice('overlap', overlap, OVERLAPS)
    check_choice('crowd', crowd, CROWDS)
    objects = [item for item in image.annotations if crowd == 'include' or not item.get('iscrowd')]
    if overlap == 'small':
        for item in objects:
            if 'area' not in item:
                raise ValueError(f"annotation {item['id']} has no 'area', which 'small' needs")
        objects.sort(key=lambda item: item['area'], reverse=True)
    elif overlap == 'first':
        objects.reverse()
    mask = np.zeros((image.height, image.width), dtype=np.uint8)
    if crowd == 'ignore':
        for item in image.annotations:
            if item.get('iscrowd'):
                mask[_rasterise(item, image.height, image.width)] = IGNORE
    for item in objects:
        mask[_rasterise(item, image.height, image.width)] = class_of[item['category_id']]
    return mask


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
    if path.exists():
        mask = read_mask(path)
    else:
        try:
            mask = semantic_mask(image, class_of, overlap, crowd)
        except ValueError as error:
            raise ValueError(f'image {image.image_id}: {error}') from error
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
    mask.

    Args:
        coco: The annotations.
        folder: Output folder.
        overlap: See :func:`semantic_mask`.
        crowd: See :func:`semantic_mask`.
        nproc: Number of processes.

    Returns:
        The content of ``meta.json``: the rule, the classes and category ids, name and SHA-1 of
        the annotation file, and pixels and images per class.

    Raises:
        ValueError: The folder holds masks of another rule or annotation file.
    """
    check_choice('overlap', overlap, OVERLAPS)
    check_choice('crowd', crowd, CROWDS)
    folder = Path(folder)
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
    if nproc > 1:
        counts = track_parallel_progress(write, list(coco.images), nproc, chunksize=16)
    else:
        counts = track_progress(write, list(coco.images))
    counts = np.stack(counts)
    names = {**dict(enumerate(coco.classes)), IGNORE: 'ignore'}
    meta['pixels'] = {name: int(counts[:, index].sum()) for index, name in names.items()}
    meta['images'] = {name: int((counts[:, index] > 0).sum()) for index, name in names.items()}
    meta['complete'] = True
    _write_json(folder / 'meta.json', meta)
    return meta


def _claim_folder(folder: Path, meta: dict) -> None:
    """Write the rule into an empty folder, or compare it with that of an earlier run."""
    path = folder / 'meta.json'
    if not path.exists():
        if any(folder.glob('*.png')):
            raise ValueError(
                f'{folder} holds masks but no meta.json, so it is not known how they were made. '
                'Choose an empty folder.'
            )
        _write_json(path, {**meta, 'complete': False})
        return
    earlier = read_meta(folder)
    differing = [key for key in meta if earlier.get(key) != meta[key]]
    if differing:
        what = ', '.join(f'{key} {earlier.get(key)!r} -> {meta[key]!r}' for key in differing[:3])
        raise ValueError(
            f'{folder} was made differently ({what}). Choose another folder or remove this one.'
        )


def _write_json(path: Path, content: dict) -> None:
    with atomic_write(path) as tmp:
        tmp.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def read_meta(folder: str | os.PathLike) -> dict:
    """Read the ``meta.json`` of a mask folder."""
    path = Path(folder) / 'meta.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist. Is {folder} a folder made by tools/dataset_converters/coco.py?'
        )
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid JSON: {error}. Make the masks again.') from error


def _find_mask(folder: Path, image_id: str) -> Path | None:
    """``<id>.png``, or the bare 12-digit number, or the number without leading zeros."""
    number = image_id.rsplit('_', 1)[-1]
    for name in (image_id, number, number.lstrip('0')):
        path = folder / f'{name}.png'
        if name and path.is_file():
            return path
    return None


def compare_masks(ours: str | os.PathLike, other: str | os.PathLike, raw_ids: bool = False) -> dict:
    """Count the pixels on which two mask folders disagree.

    Args:
        ours: Folder made by :func:`write_semantic_masks`.
        other: Another folder of masks of the same images, named as ours or by the number of
            the image with or without leading zeros.
        raw_ids: The other masks hold category ids (COCO: 1..90) instead of contiguous classes.

    Returns:
        ``images`` compared, ``missing`` ids without a mask in ``other``, ``pixels`` compared,
        ``differing_pixels``, ``differing_images``, and ``pairs``, the ten most frequent
        ``[our class, other class, pixels]``.

    Raises:
        FileNotFoundError: No mask of ``other`` belongs to ours.
        ValueError: Sizes differ, or a mask of ``other`` holds a value that is no class.
    """
    ours, other = Path(ours), Path(other)
    meta = read_meta(ours)
    names = {**dict(enumerate(meta['classes'])), IGNORE: 'ignore'}
    table = np.full(256, -1)
    known = [0, *meta['category_ids']] if raw_ids else range(len(meta['classes']))
    table[list(known)] = np.arange(len(meta['classes']))
    table[IGNORE] = IGNORE
    confusion = np.zeros((256, 256), dtype=np.int64)
    missing, differing_images, images = [], 0, 0
    for path in track_iter_progress(sorted(ours.glob('[!.]*.png'))):
        partner = _find_mask(other, path.stem)
        if partner is None:
            missing.append(path.stem)
            continue
        pair = _confusion(read_mask(path), read_mask(partner), table, path, partner)
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
