from .coco14 import COCO14Dataset
from .image_label import ImageLabelDataset
from .samplers import SeededInfiniteSampler
from .transforms import (
    LoadImageLabels,
    PackWSSSInputs,
    RandomPadCrop,
    RandomScalePIL,
    SeedSample,
)
from .voc12 import VOC12Dataset

__all__ = [
    'COCO14Dataset',
    'ImageLabelDataset',
    'LoadImageLabels',
    'PackWSSSInputs',
    'RandomPadCrop',
    'RandomScalePIL',
    'SeedSample',
    'SeededInfiniteSampler',
    'VOC12Dataset',
]
