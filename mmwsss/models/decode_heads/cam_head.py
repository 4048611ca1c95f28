"""Classification head whose weights give class activation maps."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, INTEGER, POSITIVE, SHARE, checked, one_of

_POOLS = {'avg': F.adaptive_avg_pool2d, 'max': F.adaptive_max_pool2d}


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    num_classes=COUNT,
    in_index=INTEGER,
    dropout_ratio=SHARE,
    power=POSITIVE,
    pool=one_of(*_POOLS),
    mid_channels=COUNT,
)
class CAMHead(BaseModule):
    """Global pooling and a 1x1 convolution without bias.

    ``logit_k = sum_c W_kc pool(F_c)`` and ``CAM_k = relu(sum_c W_kc F_c) ** power`` (Zhou et al.,
    CVPR 2016, arXiv 1512.04150). With ``mid_channels`` F is first reduced by another 1x1
    convolution without bias, ``reduction``, and a ReLU (ACR).

    Args:
        in_channels: Channels of the feature map F.
        num_classes: Foreground classes K.
        in_index: Which of the backbone's maps is F.
        dropout_ratio: Channel dropout on F.
        power: Exponent of the map; 0.5 for PSA's VGG-16.
        pool: ``'avg'`` or ``'max'``.
        mid_channels: Channels that F is reduced to; None leaves it.
        init_cfg: See :class:`mmengine.model.BaseModule`; Xavier uniform as in PSA.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        in_index: int = -1,
        dropout_ratio: float = 0.5,
        power: float = 1.0,
        pool: str = 'avg',
        mid_channels: int | None = None,
        init_cfg: dict | None = dict(type='Xavier', layer='Conv2d', distribution='uniform'),  # noqa: B006
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.in_index = in_channels, in_index
        self.power = power
        self.pool = pool
        self.num_classes = num_classes
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.reduction = None
        if mid_channels is not None:
            self.reduction = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        channels = in_channels if mid_channels is None else mid_channels
        self.classifier = nn.Conv2d(channels, num_classes, 1, bias=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps ``(B, C, h, w)`` of the backbone -> logits ``(B, K)``."""
        pooled = _POOLS[self.pool](self._classified(features), 1)
        return self.classifier(self.dropout(pooled)).flatten(1)

    def _classified(self, features: Sequence[Tensor]) -> Tensor:
        """The feature map that the classifier sees."""
        feature = features[self.in_index]
        return feature if self.reduction is None else F.relu(self.reduction(feature))

    def scores(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps of the backbone -> maps ``(B, K, h, w)``, of either sign if power is 1."""
        scores = self.classifier(self._classified(features))
        return scores if self.power == 1 else F.relu(scores) ** self.power

    def cam(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps of the backbone -> activation maps ``(B, K, h, w)``, not negative."""
        return F.relu(self.scores(features))

    def loss(self, features: Sequence[Tensor], image_labels: Tensor) -> dict[str, Tensor]:
        """Mean over images and classes of the binary cross entropy with ``(B, K)`` multi-hot."""
        logits = self(features)
        return dict(loss_cls=F.multilabel_soft_margin_loss(logits, image_labels))
