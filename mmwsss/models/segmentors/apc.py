"""APC: a vision transformer whose attention agrees between two views."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.multi_class_token_vit import TokenFeatures
from mmwsss.ops.affinity.attention_views import GETAM_RULES, getam
from mmwsss.ops.class_attention import refine_by_attention
from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels
from mmwsss.utils.checks import check_choice, check_range

from .map_classifier import MapClassifier, MapClassifierSettings


@dataclass(frozen=True)
class APCSettings(MapClassifierSettings):
    """As :class:`MapClassifierSettings`.

    Attributes:
        maps: ``'refined'`` by the attention between patches, or ``'plain'``.
        start_layer, rule: Of :func:`mmwsss.ops.affinity.attention_views.getam`.
    """

    maps_choices: ClassVar = ('refined', 'plain')

    maps: str = 'refined'
    merge: str = 'mctformer'
    flip: bool = True
    start_layer: int = 10
    rule: str = 'grad'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('test_cfg.start_layer', self.start_layer, 0, integer=True)
        check_choice('test_cfg.rule', self.rule, GETAM_RULES)


@MODELS.register_module()
class APC(MapClassifier):
    """All-pairs consistency between an image and its mirror image, and maps by GETAM.

    *All-pairs Consistency Learning for Weakly Supervised Semantic Segmentation*, Sun et al., ICCVW
    2023, arXiv 2308.04321. Official code: OpenNLPLab/ACR_WSSS.

    Loss and maps are proven by the official code, the network is not the published one (a hybrid
    of ResNet-50 and ViT-B): here it is a ViT with one class token.

    The map of a class is the gradient of its logit in the attention of the class token, summed over
    the last layers, times the attention between patches, summed over all. Only the classes in the
    image labels get one. The views are merged as MCTformer's, with ``align_corners=False``.

    Args:
        backbone: :class:`mmwsss.models.backbones.MultiClassTokenViT` of one class token.
        decode_head: :class:`mmwsss.models.decode_heads.ClassTokenLinearHead`.
        consistency: :class:`mmwsss.models.losses.AttentionViewLoss`.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`APCSettings`.

    Raises:
        ValueError: The backbone has more than one class token, or ``test_cfg.start_layer`` is
            behind its last layer; see also :class:`WSSSSegmentor`.
    """

    settings_type = APCSettings

    def __init__(self, backbone: dict, decode_head: dict, consistency: dict, **kwargs) -> None:
        parts = dict(backbone=backbone, decode_head=decode_head, consistency=consistency)
        super().__init__(parts, **kwargs)
        if self.backbone.num_classes != 1:
            raise ValueError(
                f'backbone.num_classes={self.backbone.num_classes}, the class tokens, must be 1'
            )
        last = len(self.backbone.blocks) - 1
        check_range('test_cfg.start_layer', self.settings.start_layer, 0, last)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> maps of all classes ``(B, C_fg, h, w)``."""
        return self.class_maps(inputs, inputs.new_ones(len(inputs), self.num_foreground))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Classification of both views, added up, and the terms of ``consistency``."""
        image_labels = stack_image_labels(data_samples, self.num_foreground).repeat(2, 1)
        views = torch.cat([inputs, inputs.flip(-1)])
        features, layers = self.backbone.forward_with_layers(views)
        losses = self.decode_head.loss(features, image_labels)
        losses['loss_cls'] = 2 * losses['loss_cls']  # each view has its own mean
        return {**losses, **self.consistency(layers, features.patches.shape[-2:])}

    def class_logits(self, features: TokenFeatures) -> Tensor:
        """Tokens -> logits of the classes ``(B, C_fg)``."""
        return self.decode_head(features)

    def class_maps(self, batch: Tensor, image_labels: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` -> maps ``(B, C_fg, h, w)``, 0 for classes that are not there."""
        with torch.enable_grad():
            features, layers = self.backbone.forward_with_layers(batch, heads=True)
            logits = self.decode_head(features)
        grid, present = features.patches.shape[-2:], image_labels > 0
        maps = logits.new_zeros(*logits.shape, grid[0] * grid[1])
        for k in range(int(present.sum(dim=1).max())):  # the k-th class of each image
            seen = present & (present.cumsum(dim=1) == k + 1)
            maps[seen] = self._getam(logits, layers, seen)[seen.any(dim=1)]
        maps = maps.unflatten(2, grid)
        if self.settings.maps == 'plain':
            return maps
        attention = sum(layer.detach().mean(dim=1)[:, 1:, 1:].float() for layer in layers)
        return refine_by_attention(maps, attention)

    def _getam(self, logits: Tensor, layers: list[Tensor], seen: Tensor) -> Tensor:
        """Maps ``(B, N)`` of the classes in ``seen`` ``(B, C_fg)``, one each or none."""
        last = layers[self.settings.start_layer :]
        with torch.enable_grad():
            gradients = torch.autograd.grad(logits[seen].sum(), last, retain_graph=True)
        attention = torch.stack(last).detach()
        return getam(attention, torch.stack(gradients), rule=self.settings.rule)
