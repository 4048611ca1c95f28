"""Classification by class tokens and, if wanted, by patches."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.models.backbones.multi_class_token_vit import TokenFeatures
from mmwsss.ops.class_token_contrast import class_token_contrast_loss
from mmwsss.ops.rank_pool import global_weighted_rank_pool
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, WEIGHT, checked, number, one_of


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    num_classes=COUNT,
    patch_pool=one_of('none', 'avg', 'rank'),
    decay=number(0, 1, open_low=True),
    contrast_weight=WEIGHT,
    contrast_layers=COUNT,
)
class ClassTokenHead(BaseModule):
    """MCTformer's scores and losses.

    The score of a class is the mean over the channels of its token; the patch classifier is a 3x3
    convolution whose maps are pooled to scores. Both learn from the image labels alone, by the
    multi-label soft margin: ``loss_cls`` and ``loss_patch``.

    Args:
        in_channels: Channels of the tokens.
        num_classes: Foreground classes C.
        patch_pool: ``'none'``: no patch classifier (V1); ``'avg'`` (V2); ``'rank'``:
            :func:`mmwsss.ops.rank_pool.global_weighted_rank_pool` (MCTformer+).
        decay: Of the rank pooling.
        contrast_weight: Factor of ``loss_contrast``
            (:func:`mmwsss.ops.class_token_contrast.class_token_contrast_loss`); 1 in MCTformer+.
        contrast_layers: It sees the class tokens of this many last blocks.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: A value that is none of the choices, or out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        patch_pool: str = 'avg',
        decay: float = 0.996,
        contrast_weight: float = 0.0,
        contrast_layers: int = 12,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.num_classes, self.patch_pool, self.decay = num_classes, patch_pool, decay
        self.contrast_weight, self.contrast_layers = contrast_weight, contrast_layers
        self.conv = None
        if patch_pool != 'none':
            self.conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    def forward(self, features: TokenFeatures) -> Tensor:
        """Tokens -> logits ``(B, C)``: the mean of those of class tokens and patches."""
        scores = self.class_scores(features)
        if self.conv is None:
            return scores
        return (scores + self.patch_scores(self.patch_maps(features))) / 2

    def class_scores(self, features: TokenFeatures) -> Tensor:
        """Tokens -> logits of the class tokens ``(B, C)``."""
        return features.class_tokens[-1].mean(dim=-1)

    def patch_maps(self, features: TokenFeatures) -> Tensor | None:
        """Tokens -> maps of the patch classifier ``(B, C, h, w)``, None without one."""
        return None if self.conv is None else self.conv(features.patches)

    def patch_scores(self, maps: Tensor) -> Tensor:
        """Maps ``(B, C, h, w)`` of the patch classifier -> logits ``(B, C)``."""
        if self.patch_pool == 'rank':
            return global_weighted_rank_pool(maps, self.decay)
        return maps.mean(dim=(-2, -1))

    def loss(self, features: TokenFeatures, image_labels: Tensor) -> dict[str, Tensor]:
        """Losses against multi-hot ``(B, C)``: ``loss_cls``, ``loss_patch``, ``loss_contrast``."""
        patch_scores = None
        if self.conv is not None:
            patch_scores = self.patch_scores(self.patch_maps(features))
        return self.losses(
            self.class_scores(features), patch_scores, features.class_tokens, image_labels
        )

    def losses(
        self,
        class_scores: Tensor,
        patch_scores: Tensor | None,
        class_tokens: Tensor,
        image_labels: Tensor,
    ) -> dict[str, Tensor]:
        """The losses of scores ``(B, C)`` and of class tokens ``(L, B, C, D)``."""
        losses = dict(loss_cls=F.multilabel_soft_margin_loss(class_scores, image_labels))
        if patch_scores is not None:
            losses['loss_patch'] = F.multilabel_soft_margin_loss(patch_scores, image_labels)
        if self.contrast_weight:
            tokens = class_tokens[-self.contrast_layers :]
            contrast = class_token_contrast_loss(tokens, image_labels.to(tokens))
            losses['loss_contrast'] = self.contrast_weight * contrast
        return losses
