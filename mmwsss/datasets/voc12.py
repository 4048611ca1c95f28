"""PASCAL VOC 2012 with image labels."""

from typing import ClassVar

from mmseg.datasets import PascalVOCDataset

from mmwsss.registry import DATASETS

from .image_label import ImageLabelDataset, Split

_LISTS = 'ImageSets/Segmentation'


@DATASETS.register_module()
class VOC12Dataset(ImageLabelDataset):
    """PASCAL VOC 2012: background and 20 classes, ``.jpg`` images, ``.png`` masks."""

    METAINFO = PascalVOCDataset.METAINFO
    SPLITS: ClassVar[dict[str, Split]] = {
        'train': Split(f'{_LISTS}/train.txt', 'JPEGImages', 'SegmentationClass'),
        'val': Split(f'{_LISTS}/val.txt', 'JPEGImages', 'SegmentationClass'),
        'trainval': Split(f'{_LISTS}/trainval.txt', 'JPEGImages', 'SegmentationClass'),
        # VOC train and the images of SBD; SBD's masks are another truth and not used
        'train_aug': Split(f'{_LISTS}/train_aug.txt', 'JPEGImages'),
        'test': Split(f'{_LISTS}/test.txt', 'JPEGImages'),
    }
