"""TransCAM: class maps of convolutions, refined by the attention of a transformer beside them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.conformer import ConformerFeatures
from mmwsss.ops.class_attention import REFINEMENTS, refine_by_attention
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels
from mmwsss.utils.checks import check_choice

from .map_classifier import MapClassifier, MapClassifierSettings


@dataclass(frozen=True)
class TransCAMSettings(MapClassifierSettings):
    """As :class:`MapClassifierSettings`.

    Attributes:
        maps: ``'refined'`` by the attention, or ``'plain'``.
        refine: Rule of :func:`mmwsss.ops.class_attention.refine_by_attention`.
    """

    maps_choices: ClassVar = ('refined', 'plain')

    maps: str = 'refined'
    merge: str = 'seam'
    flip: bool = True
    refine: str = 'rows'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice('test_cfg.refine', self.refine, REFINEMENTS)


@MODELS.register_module()
class TransCAM(MapClassifier):
    """A Conformer whose class maps are spread by its own attention; trained with image labels only.

    *TransCAM: Transformer attention-based CAM refinement for weakly supervised semantic
    segmentation*, Li et al., JVCIR 2023, arXiv 2203.07239. Official code: liruiwen/TransCAM.

    The maps M of the convolutions are refined by ``S M``, S the attention between patches, mean
    over heads and sum over all layers, rows as queries. S is added up while the layers run, where
    the official code keeps the attention of all layers.

    With ``consistency`` the attention is trained, too: :class:`AffinityVectorLoss` is AVC as we
    *reconstruct* it; without any of its terms the method is TransCAM. Image and mirror image then
    run as one batch, which batch norm sees as a whole, and the loss of the classes is the mean of
    both.

    Args:
        backbone: :class:`mmwsss.models.backbones.Conformer`.
        decode_head: :class:`mmwsss.models.decode_heads.DualBranchCAMHead`.
        consistency: :class:`mmwsss.models.losses.AffinityVectorLoss`; None: TransCAM.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`TransCAMSettings`.

    Raises:
        ValueError: See :class:`WSSSSegmentor`.
    """

    settings_type = TransCAMSettings

    def __init__(
        self, backbone: dict, decode_head: dict, consistency: dict | None = None, **kwargs
    ) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)
        self.consistency = None if consistency is None else MODELS.build(consistency)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> maps of all classes ``(B, C_fg, h, w)``."""
        return self.class_maps(inputs)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Multi-label soft margin of both branches, and the terms of ``consistency``."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        if self.consistency is None or not self.consistency.used:
            return self.decode_head.loss(self.extract_feat(inputs), image_labels)
        seen = image_labels
        if self.consistency.two_views:
            inputs, seen = torch.cat([inputs, inputs.flip(-1)]), image_labels.repeat(2, 1)
        features, layers = self.backbone.forward_with_layers(inputs)
        with torch.no_grad():
            cams = self.decode_head.maps(features)
        return {
            **self.decode_head.loss(features, seen),
            **self.consistency(layers, cams, image_labels, self.iteration),
        }

    def class_logits(self, features: ConformerFeatures) -> Tensor:
        """Features -> logits of the classes ``(B, C_fg)``."""
        return self.decode_head(features)

    def class_maps(self, batch: Tensor, image_labels: Tensor | None = None) -> Tensor:
        """Images ``(B, 3, H, W)`` -> maps of all classes ``(B, C_fg, h, w)`` before relu."""
        if self.settings.maps == 'plain':
            return self.decode_head.maps(self.extract_feat(batch))
        features, sums = self.backbone.forward_with_attn(batch)
        attention = sums.class_patch if self.settings.refine == 'class' else sums.patch
        return refine_by_attention(self.decode_head.maps(features), attention, self.settings.refine)
