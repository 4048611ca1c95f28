"""MS COCO 2014 with image labels."""

from typing import ClassVar

from mmwsss.registry import DATASETS
from mmwsss.stores.palettes import voc_palette

from .image_label import ImageLabelDataset, Split

# fmt: off
CLASSES = (
    'background', 'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck',
    'boat', 'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat',
    'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack',
    'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball',
    'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket',
    'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple',
    'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair',
    'couch', 'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote',
    'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book',
    'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
)
# fmt: on


@DATASETS.register_module()
class COCO14Dataset(ImageLabelDataset):
    """MS COCO 2014 as semantic segmentation: background and 80 classes.

    Class order is the order of the category ids (1..90 with ten holes) of the instance
    annotations. Masks come from ``tools/dataset_converters/coco.py``.
    """

    METAINFO = {'classes': CLASSES, 'palette': voc_palette(81)}
    SPLITS: ClassVar[dict[str, Split]] = {
        'train': Split('train.txt', 'train2014', 'semantic_masks/train2014'),
        'val': Split('val.txt', 'val2014', 'semantic_masks/val2014'),
    }
