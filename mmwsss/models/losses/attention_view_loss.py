"""Attention that agrees between an image and its mirror image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmwsss.ops.affinity.attention_views import attention_view_losses
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import WEIGHT, checked


@MODELS.register_module()
@checked(
    class_weight=WEIGHT,
    pair_weight=WEIGHT,
)
class AttentionViewLoss(nn.Module):
    """All-pairs consistency (APC, arXiv 2308.04321), layers kept apart:
    :func:`mmwsss.ops.affinity.attention_views.attention_view_losses`.

    Args:
        class_weight: Factor of ``loss_class_attention``, 125 on VOC and 100 on COCO as published.
        pair_weight: Factor of ``loss_pair_attention``, the same.

    Raises:
        ValueError: A weight is negative.
    """

    def __init__(self, class_weight: float = 125.0, pair_weight: float = 125.0) -> None:
        super().__init__()
        self.class_weight, self.pair_weight = class_weight, pair_weight

    def forward(self, layers: Sequence[Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
        """Both terms.

        Args:
            layers: Attention of each layer, mean over heads, ``(2 * B, 1 + N, 1 + N)``: of the
                images, then of their mirror images.
            grid: (h, w) of the N patches.
        """
        with torch.autocast(layers[0].device.type, enabled=False):
            first, second = torch.stack([layer.float() for layer in layers], dim=1).chunk(2)
            classes, pairs = attention_view_losses(first, second, grid)
        return dict(
            loss_class_attention=self.class_weight * classes,
            loss_pair_attention=self.pair_weight * pairs,
        )
