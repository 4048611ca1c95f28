from . import transforms
from .coco14 import COCO14Dataset
from .image_label import ImageLabelDataset
from .mini import MiniDataset
from .samplers import SeededInfiniteSampler
from .voc12 import VOC12Dataset

__all__ = [
    'COCO14Dataset',
    'ImageLabelDataset',
    'MiniDataset',
    'SeededInfiniteSampler',
    'VOC12Dataset',
    'transforms',
]
