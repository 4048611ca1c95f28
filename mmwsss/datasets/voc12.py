"""PASCAL VOC 2012 with image labels."""

from mmseg.datasets import PascalVOCDataset

from mmwsss.registry import DATASETS

from .image_label import ImageLabelDataset


@DATASETS.register_module()
class VOC12Dataset(ImageLabelDataset):
    """PASCAL VOC 2012: background and 20 classes, ``.jpg`` images, ``.png`` masks."""

    METAINFO = PascalVOCDataset.METAINFO
