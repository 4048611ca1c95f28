"""Decoder of 1-Stage."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.models.layers.conv_norm_relu import conv_norm_relu
from mmwsss.models.layers.fixed_norm_aspp import FixedNormASPP
from mmwsss.models.layers.global_cue_injection import GlobalCueInjection
from mmwsss.ops.losses.ngwp import focal_mask_penalty, ngwp_scores
from mmwsss.ops.stochastic_gate import draw_gate, mean_gate, stochastic_gate
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import (
    COUNT,
    FOREGROUND,
    POSITIVE,
    SHARE,
    WEIGHT,
    checked,
    number,
    several,
)


@MODELS.register_module()
@checked(
    in_channels=several(COUNT, 2),
    num_classes=FOREGROUND,
    channels=COUNT,
    skip_channels=COUNT,
    dilations=several(COUNT, least=0),
    gate_rate=number(0, 1, open_high=True),
    dropout=several(SHARE, 3),
    focal_power=WEIGHT,
    focal_offset=POSITIVE,
)
class OneStageHead(BaseModule):
    """Segmentation and image classification from deep and shallow features (arXiv 2005.08104).

    ASPP and a skip connection give deep features D, global cue injection gives shallow features
    S at the same size; a stochastic gate mixes them before the last convolutions. The logit of the
    background is not learnt: it is 1 everywhere.

    Convolutions start from a normal distribution (He et al., fan-in), the bias of the last one
    from PyTorch's default.

    Args:
        in_channels: Channels of the shallow (stride 4) and of the deep features, the first and
            the last of the backbone's maps.
        num_classes: Foreground classes K.
        channels: Width of the decoder.
        skip_channels: Channels of the skip connection.
        dilations: Of the ASPP.
        gate_rate: Probability of a shallow element in the stochastic gate (psi).
        dropout: Ratios behind the ASPP and the two last 3x3 convolutions.
        focal_power, focal_offset: See :func:`mmwsss.ops.losses.ngwp.focal_mask_penalty`.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: ``gate_rate`` outside [0, 1), or ``in_channels`` are not two.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        channels: int = 256,
        skip_channels: int = 48,
        dilations: Sequence[int] = (12, 24, 36),
        gate_rate: float = 0.3,
        dropout: Sequence[float] = (0.5, 0.5, 0.1),
        focal_power: float = 3.0,
        focal_offset: float = 0.01,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = shallow, deep = tuple(in_channels)
        self.num_classes = num_classes
        self.gate_rate = gate_rate
        self.focal_power = focal_power
        self.focal_offset = focal_offset
        self.aspp = FixedNormASPP(deep, channels, dilations, dropout[0])
        self.skip = conv_norm_relu(shallow, skip_channels)
        self.merge = conv_norm_relu(channels + skip_channels, channels, 3)
        self.injection = GlobalCueInjection(shallow, channels)
        self.last = nn.Sequential(
            *conv_norm_relu(channels, channels, 3),
            nn.Dropout(dropout[1]),
            *conv_norm_relu(channels, channels, 3),
            nn.Dropout(dropout[2]),
            nn.Conv2d(channels, num_classes, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, features: Sequence[Tensor], keep_deep: Tensor | None = None) -> Tensor:
        """Logits of background and classes at the size of the shallow features.

        Args:
            features: Maps of the backbone, ``(B, ., h, w)`` first and the deep one last.
            keep_deep: Boolean ``(B, channels, h, w)``, the gate in training; None draws it.

        Returns:
            ``(B, 1 + K, h, w)``.
        """
        shallow, deep = features[0], self.aspp(features[-1])
        deep = F.interpolate(deep, size=shallow.shape[-2:], mode='bilinear', align_corners=True)
        deep = self.merge(torch.cat([deep, self.skip(shallow)], dim=1))
        logits = self.last(self.gate(deep, self.injection(shallow, deep), keep_deep))
        return F.pad(logits.float(), (0, 0, 0, 0, 1, 0), value=1.0)

    def gate(self, deep: Tensor, shallow: Tensor, keep_deep: Tensor | None = None) -> Tensor:
        """Stochastic in training, its mean in evaluation."""
        if not self.training:
            return mean_gate(deep, shallow, self.gate_rate)
        if keep_deep is None:
            keep_deep = draw_gate(deep, self.gate_rate)
        return stochastic_gate(deep, shallow, self.gate_rate, keep_deep)

    def scores(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Class scores of the foreground (equations 2 to 4).

        Args:
            logits: Of :meth:`forward`.
            masks: Their softmax.

        Returns:
            ``(B, K)``.
        """
        logits, masks = logits[:, 1:], masks[:, 1:]
        penalty = focal_mask_penalty(masks, self.focal_power, self.focal_offset)
        return ngwp_scores(logits, masks) + penalty
