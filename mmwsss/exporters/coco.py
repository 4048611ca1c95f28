"""COCO instance annotations: one object for every connected region."""

import json
from collections.abc import Iterable, Sequence

import numpy as np

from ..datasets.converters.coco_shapes import load_pycocotools
from .formats import ExportOptions, Picture
from .regions import Region, connected_regions, outline


def describe(picture: Picture, classes: Sequence[str], options: ExportOptions) -> dict:
    """An image and its annotations, without ids.

    Segmentations are compressed run lengths, as exact as the mask, or polygons
    (``options.shape``); holes are in both.
    """
    mask = picture.mask
    height, width = mask.shape
    return dict(
        image=dict(file_name=picture.url, height=height, width=width),
        annotations=[
            _annotation(region, mask.shape, options) for region in connected_regions(mask)
        ],
    )


def _annotation(region: Region, shape: tuple[int, int], options: ExportOptions) -> dict:
    coco_mask = load_pycocotools()
    height, width = region.pixels.shape
    if options.shape == 'polygon':
        segmentation = [outline(region, options.tolerance).ravel().tolist()]
    else:
        segmentation = coco_mask.encode(np.asfortranarray(region.full(shape), dtype=np.uint8))
        segmentation['counts'] = segmentation['counts'].decode()
    return dict(
        category_id=region.value,
        iscrowd=0,
        area=int(region.pixels.sum()),
        bbox=[region.left, region.top, width, height],
        segmentation=segmentation,
    )


def join(described: Iterable[dict], classes: Sequence[str], options: ExportOptions) -> str:
    """The file; category ids are the values of the masks."""
    images, annotations = [], []
    for number, entry in enumerate(described, start=1):
        images.append(dict(id=number, **entry['image']))
        for annotation in entry['annotations']:
            annotations.append(dict(id=len(annotations) + 1, image_id=number, **annotation))
    categories = [dict(id=value, name=name) for value, name in enumerate(classes, start=1)]
    return json.dumps(dict(images=images, annotations=annotations, categories=categories))
