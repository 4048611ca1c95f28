"""SEAM: class maps that agree between an image and its small copy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.ops.multi_crop import multi_crop_cams, tile_boxes
from mmwsss.ops.multi_view import crop_pixels
from mmwsss.ops.resize import upsample
from mmwsss.ops.seam import seam_losses
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels
from mmwsss.utils.arguments import checked, number
from mmwsss.utils.checks import check_range

from .map_classifier import MapClassifier, MapClassifierSettings


@dataclass(frozen=True)
class SEAMSettings(MapClassifierSettings):
    """As :class:`MapClassifierSettings`.

    Attributes:
        maps: ``'refined'`` by the correlation of pixels, or ``'plain'``.
        crop: Side of the crops of PMM's multi-crop test; ``scales`` are then those of its boxes
            (:func:`mmwsss.ops.multi_crop.tile_boxes`), and ``merge`` and ``resize`` are not used.
            None: views of the whole image.
        stride: Pixels between two boxes on the scaled image.
        batch: Crops and mirror images per forward pass, an even number.
    """

    maps_choices: ClassVar = ('refined', 'plain')

    maps: str = 'refined'
    merge: str = 'seam'
    flip: bool = True
    crop: int | None = None
    stride: int = 300
    batch: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.crop', self.crop, 1, integer=True)
        check_range('test_cfg.stride', self.stride, 1, self.crop or float('inf'), integer=True)
        check_range('test_cfg.batch', self.batch, 2, integer=True)
        if self.crop is not None and (not self.flip or self.sizes or self.long_side):
            raise ValueError(
                'test_cfg.crop sees boxes of the image and their mirror images: leave flip=True, '
                'and remove sizes and long_side'
            )


@MODELS.register_module()
@checked(
    view_scale=number(0, 1, open_low=True),
    keep=number(0, 1, open_low=True),
)
class SEAM(MapClassifier):
    """A classifier whose maps of an image and of its small copy are made equal.

    *Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation*,
    Wang et al., CVPR 2020, arXiv 2004.04581, as PMM has it (Li et al., ICCV 2021, arXiv 2108.12995;
    official code: Eli-YiLi/PMM): the losses are on from the first iteration, and the test may see
    crops. The background has a channel of its own, which the labels always name.

    Args:
        backbone: Gives three levels of one size: ``ResNet38d(out_indices=(1, 2, 3))`` or
            ``ScaleNet(out_indices=(1, 2, 3))``.
        decode_head: :class:`mmwsss.models.decode_heads.PCMHead`.
        view_scale: Size of the copy, 0.3.
        keep: Share of the entries that the equivariance of refined maps is asked of, 0.2.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`SEAMSettings`.

    Raises:
        ValueError: A value is out of range; see also :class:`WSSSSegmentor`.
    """

    settings_type = SEAMSettings

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        view_scale: float = 0.3,
        keep: float = 0.2,
        **kwargs,
    ) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)
        self.view_scale, self.keep = view_scale, keep

    def maps(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, H, W)`` -> maps and refined maps ``(B, 1 + C_fg, h, w)``."""
        return self.decode_head(self.extract_feat(inputs), inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> refined maps of all classes ``(B, C_fg, h, w)``."""
        return self.maps(inputs)[1][:, 1:]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """See :func:`mmwsss.ops.seam.seam_losses`."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        size = tuple(max(1, int(side * self.view_scale)) for side in inputs.shape[-2:])
        views = (inputs, upsample(inputs, size, align_corners=True))
        maps = [
            upsample(one.float(), view.shape[-2:], align_corners=True)
            for view in views
            for one in self.maps(view)
        ]
        return seam_losses(*maps, image_labels, self.keep)

    def class_logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """Features of the backbone -> logits of the classes ``(B, C_fg)``."""
        return self.decode_head.cam(features)[:, 1:].mean(dim=(-2, -1))

    def class_maps(self, batch: Tensor, image_labels: Tensor) -> Tensor:
        """Maps of the classes in the image labels at the size of the view, zero for the others."""
        image, place = image_labels.nonzero(as_tuple=True)
        maps = self._labelled(batch, image, place)
        maps = upsample(maps, batch.shape[-2:], align_corners=True)
        out = maps.new_zeros(len(batch), self.num_foreground, *batch.shape[-2:])
        out[image, place] = maps
        return out

    def _labelled(self, batch: Tensor, image: Tensor, place: Tensor) -> Tensor:
        """Maps ``(P, h, w)`` of pairs of an image and a class."""
        return self.maps(batch)[self.settings.maps == 'refined'].float()[image, 1 + place]

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Merged maps of views of the image, or of its crops; see ``test_cfg``."""
        if self.settings.crop is None:
            return super().predict_maps(inputs, image_labels)
        size, cfg = inputs.shape[-2:], self.settings
        boxes = torch.cat(tile_boxes(size, cfg.scales, cfg.crop, cfg.stride))
        width = int(image_labels.sum(dim=1).max())
        cams = inputs.new_zeros(len(inputs), width, *size)
        classes = torch.full((len(inputs), width), -1, device=inputs.device)
        for i, (image, label) in enumerate(zip(inputs, image_labels, strict=True)):
            present = label.nonzero()[:, 0]
            if len(present):
                cams[i, : len(present)] = self._multi_crop(image, present, boxes)
                classes[i, : len(present)] = present
        return Maps(cams.clamp(0, 1), classes)

    def _multi_crop(self, image: Tensor, present: Tensor, boxes: Tensor) -> Tensor:
        """Maps ``(K, H, W)`` of the classes ``present`` from the boxes of one image."""

        def forward(crops: Tensor) -> Tensor:
            pairs = torch.cartesian_prod(torch.arange(len(crops), device=crops.device), present)
            maps = self._labelled(crops, *pairs.unbind(1))
            return maps.unflatten(0, (len(crops), len(present)))

        crops, size = self._crops(image, boxes), image.shape[-2:]
        return multi_crop_cams(forward, crops, boxes, size, self.settings.crop)

    def _crops(self, image: Tensor, boxes: Tensor) -> Iterator[Tensor]:
        """The boxes of an image ``(3, H, W)`` as batches ``(n, 3, crop, crop)``."""
        norm, crop = self.data_preprocessor, self.settings.crop
        for some in boxes.split(max(1, self.settings.batch // 2)):
            yield crop_pixels(image, some, (crop, crop), norm.mean, norm.std)
