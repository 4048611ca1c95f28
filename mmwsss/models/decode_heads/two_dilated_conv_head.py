"""Segmentation head of MCTformer's ResNet-38."""

from collections.abc import Sequence

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, checked


@MODELS.register_module()
@checked(in_channels=COUNT, num_classes=CLASSES, channels=COUNT, dilation=COUNT)
class TwoDilatedConvHead(BaseDecodeHead):
    """``3x3 conv - ReLU - 3x3 conv``, both dilated (MCTformer, arXiv 2203.02891: retraining).

    Args:
        in_channels: Channels of the input feature.
        channels: Channels between the convolutions.
        dilation: Of both convolutions.
        kwargs: Arguments of mmseg's ``BaseDecodeHead``, except ``dropout_ratio``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 512,
        dilation: int = 12,
        init_cfg: dict | None = dict(  # noqa: B006
            type='Xavier', layer='Conv2d', distribution='uniform'
        ),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, channels, dropout_ratio=0, init_cfg=init_cfg, **kwargs)
        del self.conv_seg
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, self.out_channels, 3, padding=dilation, dilation=dilation)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Feature maps -> logits ``(B, num_classes, h, w)`` at their resolution."""
        return self.conv2(self.conv1(self._transform_inputs(inputs)).relu())
