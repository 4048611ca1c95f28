from .coco14 import COCO14Dataset
from .image_label import ImageLabelDataset
from .mini import MiniDataset
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
    'MiniDataset',
    'PackWSSSInputs',
    'RandomPadCrop',
    'RandomScalePIL',
    'SeedSample',
    'SeededInfiniteSampler',
    'VOC12Dataset',
]
