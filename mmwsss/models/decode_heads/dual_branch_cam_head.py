"""Classification by the two branches of a Conformer."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.models.backbones.conformer import ConformerFeatures
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, checked


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    embed_dims=COUNT,
    num_classes=COUNT,
    background_channel=FLAG,
)
class DualBranchCAMHead(BaseModule):
    """TransCAM's classifiers: maps of the convolutions, and the class token.

    The logits are the means of the maps that a 3x3 convolution gives, plus those that a linear
    layer finds in the class token; one loss sees the sum of both.

    Args:
        in_channels: Channels of the convolutions.
        embed_dims: Channels of the tokens.
        num_classes: Foreground classes C.
        background_channel: Both classifiers have a first output more, that of the background,
            which is there in the official files and never trained nor used.
        init_cfg: See :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        num_classes: int,
        background_channel: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        outputs = num_classes + int(background_channel)
        self.conv = nn.Conv2d(in_channels, outputs, 3, padding=1)
        self.linear = nn.Linear(embed_dims, outputs)
        nn.init.kaiming_normal_(self.conv.weight, mode='fan_out', nonlinearity='relu')
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: ConformerFeatures) -> Tensor:
        """Features -> logits of the foreground ``(B, C)``, the sum of both branches."""
        conv, token = self.branches(features)
        return (conv + token)[:, -self.num_classes :]

    def branches(self, features: ConformerFeatures) -> tuple[Tensor, Tensor]:
        """Features -> logits of the convolutions and of the class token, all channels each."""
        return self.conv(features.conv).mean(dim=(-2, -1)), self.linear(features.tokens[:, 0])

    def maps(self, features: ConformerFeatures) -> Tensor:
        """Features -> maps of the foreground ``(B, C, h, w)``, of either sign."""
        return self.conv(features.conv)[:, -self.num_classes :]

    def loss(self, features: ConformerFeatures, image_labels: Tensor) -> dict[str, Tensor]:
        """Multi-label soft margin of the logits' sum against multi-hot ``(B, C)``."""
        return dict(loss_cls=F.multilabel_soft_margin_loss(self(features), image_labels))
