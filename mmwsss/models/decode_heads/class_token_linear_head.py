"""Classification of one class token by a linear layer."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.models.backbones.multi_class_token_vit import TokenFeatures
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    num_classes=COUNT,
)
class ClassTokenLinearHead(BaseModule):
    """A vision transformer's classifier: a linear layer on the class token of the last block.

    Args:
        in_channels: Channels of the token.
        num_classes: Foreground classes C.
        init_cfg: See :class:`mmengine.model.BaseModule`.
    """

    def __init__(self, in_channels: int, num_classes: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, features: TokenFeatures) -> Tensor:
        """Tokens, the first class token of which counts -> logits ``(B, C)``."""
        return self.linear(features.class_tokens[-1][:, 0])

    def loss(self, features: TokenFeatures, image_labels: Tensor) -> dict[str, Tensor]:
        """Multi-label soft margin against multi-hot ``(B, C)``."""
        return dict(loss_cls=F.multilabel_soft_margin_loss(self(features), image_labels))
