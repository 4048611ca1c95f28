"""DeepLabV2's ASPP on ResNet-101."""

from collections.abc import Sequence

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, checked, several


@MODELS.register_module()
@checked(in_channels=COUNT, num_classes=CLASSES, dilations=several(COUNT))
class SumASPPHead(BaseDecodeHead):
    """Sum of dilated 3x3 classifiers, without norm, ReLU or pooling (arXiv 1606.00915).

    (mmseg's ``ASPPHead`` is DeepLabV3's: concatenation, norm and image pooling.)

    Args:
        in_channels: Channels of the input feature.
        dilations: One per classifier.
        kwargs: Arguments of mmseg's ``BaseDecodeHead``, except ``channels``, ``dropout_ratio``.
    """

    def __init__(
        self,
        in_channels: int,
        dilations: Sequence[int] = (6, 12, 18, 24),
        init_cfg: dict | None = dict(type='Normal', layer='Conv2d', std=0.01),  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(in_channels, 1, dropout_ratio=0, init_cfg=init_cfg, **kwargs)
        del self.conv_seg
        self.convs = nn.ModuleList(
            nn.Conv2d(in_channels, self.out_channels, 3, padding=d, dilation=d) for d in dilations
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Feature maps -> logits ``(B, num_classes, h, w)`` at their resolution."""
        x = self._transform_inputs(inputs)
        return sum(conv(x) for conv in self.convs)
