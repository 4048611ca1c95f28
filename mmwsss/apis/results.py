"""What is found in images, and which could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample


@dataclass
class ImageResult:
    """What is found in an image of ``(H, W)`` pixels.

    Attributes:
        name: File name without suffix, or the number of the image.
        image: uint8 RGB ``(H, W, 3)``, upright.
        classes: Names of the mask values, background first.
        labels: int64 ``(K,)``, the image labels: 0-based indices of ``classes[1:]``.
        cams: float32 ``(K, H, W)`` in [0, 1]; probabilities if a network makes no maps.
        mask: uint8 ``(H, W)``: 0 background, label + 1, 255 unsure.
        scores: float32 ``(C,)``, CLIP's probability of every class, if labels were predicted.
        file_name: With suffix; None if the image was no file.
    """

    name: str
    image: np.ndarray
    classes: Sequence[str]
    labels: np.ndarray
    cams: np.ndarray
    mask: np.ndarray
    scores: np.ndarray | None = None
    file_name: str | None = None

    @property
    def label_names(self) -> list[str]:
        """The image labels as class names."""
        return [self.classes[i + 1] for i in self.labels]

    def to_data_sample(self) -> SegDataSample:
        """The same as mmseg's data structure: ``pred_cam`` and ``pred_sem_seg``."""
        size = self.mask.shape
        sample = SegDataSample(metainfo=dict(img_path=self.name, ori_shape=size, img_shape=size))
        cam, labels = torch.from_numpy(self.cams), torch.from_numpy(self.labels)
        sample.pred_cam = BaseDataElement(cam=cam, labels=labels)
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(self.mask)[None])
        return sample


@dataclass
class Failure:
    """An image that could not be read.

    Attributes:
        name: Path or number.
        message: What is wrong with it.
    """

    name: str
    message: str
