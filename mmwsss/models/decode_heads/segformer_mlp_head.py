"""SegFormer's decoder as its own code has it."""

import torch.nn.functional as F
from mmseg.models.decode_heads import SegformerHead
from torch import Tensor, nn

from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import CLASSES, COUNT, SHARE, checked, several


@MODELS.register_module()
@checked(in_channels=several(COUNT), num_classes=CLASSES, channels=COUNT, dropout_ratio=SHARE)
class SegformerMLPHead(SegformerHead):
    """mmseg's ``SegformerHead`` with plain linear layers on the levels (arXiv 2105.15203; AFA).

    The levels get a bias and neither norm nor activation. Initial weights are those of
    ``nn.Conv2d``, but for the fusion (Kaiming), not mmseg's normal with deviation 0.01.

    Args:
        kwargs: Arguments of ``SegformerHead``.
    """

    def __init__(self, *, init_cfg: dict | None = None, **kwargs) -> None:
        super().__init__(init_cfg=init_cfg, **kwargs)
        self.convs = nn.ModuleList(nn.Conv2d(dim, self.channels, 1) for dim in self.in_channels)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Feature maps, finest first -> logits ``(B, num_classes, h, w)`` of the finest's size."""
        inputs = self._transform_inputs(inputs)
        size = inputs[0].shape[-2:]
        # Upsampling commutes with a 1x1 convolution, so each level's part of the fusion runs at
        # the level's own size and the concatenation is a sum.
        parts = self.fusion_conv.conv.weight.split(self.channels, dim=1)
        fused = sum(
            upsample(F.conv2d(conv(x), part), size, self.align_corners)
            for conv, x, part in zip(self.convs, inputs, parts, strict=True)
        )
        return self.cls_seg(self.fusion_conv.activate(self.fusion_conv.norm(fused)))
