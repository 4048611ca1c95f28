"""DeepLab's large field-of-view classifier."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, SHARE, checked, one_of, several

_DROPOUTS = {'channel': nn.Dropout2d, 'element': nn.Dropout}


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    channels=COUNT,
    num_classes=CLASSES,
    dilations=several(COUNT),
    dropout_ratios=several(SHARE, 2),
    dropout_type=one_of(*_DROPOUTS),
)
class LargeFOVHead(BaseDecodeHead):
    """A dilated 3x3 and two 1x1 convolutions; several such branches are summed.

    One branch of dilation 12 is DeepLabV1-LargeFOV (Chen et al., ICLR 2015, arXiv 1412.7062),
    four of dilations 6, 12, 18, 24 are DeepLabV2's ASPP on VGG-16 (TPAMI 2018, arXiv 1606.00915,
    section 3.2). Each branch is ``conv - [norm] - ReLU - dropout - conv - [norm] - ReLU - dropout
    - classifier``.

    Args:
        in_channels: Channels of the input feature.
        channels: Channels between the convolutions: 1024, 512 on ResNet-38.
        dilations: One per branch.
        dropout_ratios: After the first and the second convolution.
        dropout_type: ``'channel'`` drops whole maps, ``'element'`` single values.
        norm_cfg: None gives convolutions with bias; with a norm they have none.
        kwargs: Arguments of mmseg's ``BaseDecodeHead`` (``num_classes``, ``align_corners``,
            ``loss_decode``, ``init_cfg``, ...), except ``dropout_ratio``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: Sequence[int] = (12,),
        dropout_ratios: tuple[float, float] = (0.5, 0.5),
        dropout_type: str = 'channel',
        init_cfg: dict | None = dict(type='Normal', layer='Conv2d', std=0.01),  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(in_channels, channels, dropout_ratio=0, init_cfg=init_cfg, **kwargs)
        del self.conv_seg  # every branch has its own classifier
        dropouts = [_DROPOUTS[dropout_type](ratio) for ratio in dropout_ratios]
        self.branches = nn.ModuleList(self._branch(d, dropouts) for d in dilations)

    def _branch(self, dilation: int, dropouts: list[nn.Module]) -> nn.ModuleDict:
        bias = self.norm_cfg is None
        fov = nn.Conv2d(
            self.in_channels, self.channels, 3, padding=dilation, dilation=dilation, bias=bias
        )
        fc = nn.Conv2d(self.channels, self.channels, 1, bias=bias)
        return nn.ModuleDict(
            dict(
                fov=nn.Sequential(fov, self._norm(), nn.ReLU(inplace=True), dropouts[0]),
                fc=nn.Sequential(fc, self._norm(), nn.ReLU(inplace=True), dropouts[1]),
                cls=nn.Conv2d(self.channels, self.out_channels, 1),
            )
        )

    def _norm(self) -> nn.Module:
        if self.norm_cfg is None:
            return nn.Identity()
        return build_norm_layer(self.norm_cfg, self.channels)[1]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Feature maps -> logits ``(B, num_classes, h, w)`` at their resolution."""
        x = self._transform_inputs(inputs)
        return sum(b['cls'](b['fc'](b['fov'](x))) for b in self.branches)
