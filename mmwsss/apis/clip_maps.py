"""Class probabilities and maps by a method that trains nothing, for batches of views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..models.segmentors.clip_es import class_scores


class CLIPMaps:
    """A model whose classes are texts, as an inferencer calls it.

    Args:
        model: :class:`mmwsss.models.CLIPES` or :class:`mmwsss.models.ExCELFree`, built.
        pipeline: Makes a sample of an image, ``dict(img=BGR, ...)``.
        num_classes: Of the foreground.
        device: Where the model is.
    """

    def __init__(
        self, model: nn.Module, pipeline: Callable[[dict], dict], num_classes: int, device: str
    ) -> None:
        self.model, self.pipeline = model, pipeline
        self.num_classes, self.device = num_classes, device

    def predict(self, data: dict, labels: Sequence[np.ndarray]) -> list[SegDataSample]:
        """Maps and masks of a batch for the image labels ``(K,)`` of each image."""
        for label, sample in zip(labels, data['data_samples'], strict=True):
            hot = torch.zeros(self.num_classes, device=self.device)
            hot[torch.as_tensor(label, device=self.device)] = 1
            sample.gt_image_labels = LabelData(label=hot)
        return self.model.predict(data['inputs'], data['data_samples'])

    def pack(self, views: Sequence[np.ndarray]) -> dict:
        """A normalised batch."""
        packed = []
        for view in views:
            size = view.shape[:2]
            img = np.ascontiguousarray(view[..., ::-1])
            packed.append(self.pipeline(dict(img=img, img_path='', ori_shape=size, img_shape=size)))
        data = {key: [sample[key] for sample in packed] for key in packed[0]}
        return self.model.data_preprocessor(data)

    def class_scores(self, images: Sequence[Tensor]) -> Tensor:
        """Probabilities ``(B, C)`` of normalised images ``(3, H, W)``."""
        return class_scores(self.model, images)
