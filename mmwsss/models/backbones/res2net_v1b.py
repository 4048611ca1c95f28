"""Res2Net v1b with dilations."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, number, one_of, several

from .norm_stages import NormStages

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Res2Bottleneck(nn.Module):
    """Bottleneck whose middle is split into parts that see each other's results.

    Args:
        in_channels, mid_channels: Of the input and, before the split, of the middle; the output has
            four times as many.
        stride, dilation: Of the block.
        first: Whether it is the first block of a stage: its parts do not see each other, its last
            part is averaged, and its shortcut is an average pooling and a 1x1 convolution.
        base_width: Width of a part for 64 channels.
        scale: Number of parts.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        stride: int = 1,
        dilation: int = 1,
        first: bool = False,
        base_width: int = 26,
        scale: int = 4,
    ) -> None:
        super().__init__()
        width, out = math.floor(mid_channels * base_width / 64), 4 * mid_channels
        self.conv1 = nn.Conv2d(in_channels, width * scale, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width * scale)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
            for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(scale - 1))
        self.conv3 = nn.Conv2d(width * scale, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.first, self.stride, self.width = first, stride, width
        self.downsample = None
        if first:
            pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            conv = nn.Conv2d(in_channels, out, 1, bias=False)
            self.downsample = nn.Sequential(pool, conv, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` -> ``(B, 4 * mid_channels, h / stride, w / stride)``."""
        parts = F.relu(self.bn1(self.conv1(x))).split(self.width, dim=1)
        outs = []
        for part, conv, norm in zip(parts, self.convs, self.bns, strict=False):
            seen = part if self.first or not outs else part + outs[-1]
            outs.append(F.relu(norm(conv(seen))))
        last = F.avg_pool2d(parts[-1], 3, self.stride, 1) if self.first else parts[-1]
        out = self.bn3(self.conv3(torch.cat([*outs, last], dim=1)))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


@MODELS.register_module()
@checked(
    depth=one_of(*_BLOCKS),
    base_channels=COUNT,
    base_width=COUNT,
    scale=number(2, integer=True),
    strides=several(COUNT, 4),
    dilations=several(COUNT, 4),
)
class Res2NetV1b(NormStages):
    """Res2Net v1b (Gao et al., TPAMI 2021, arXiv 1904.01169; official code: Res2Net/
    Res2Net-PretrainedModels, with dilations in WSSS_MMSeg).

    Names of modules are official. ``depth=101`` is ``res2net101_v1b_26w_4s``.

    Args:
        depth: 50 or 101.
        base_channels: As :class:`mmwsss.models.backbones.ScaleNet`.
        base_width, scale: See :class:`Res2Bottleneck`.
        strides: Of the stages. (1, 2, 1, 1): output stride 8.
        dilations: Of all blocks of the stages.
        out_indices, frozen_stages, norm_eval, norm_frozen, init_cfg: See :class:`NormStages`.

    Raises:
        ValueError: A value is none of the choices, or out of range.
    """

    def __init__(
        self,
        depth: int = 101,
        base_channels: int = 64,
        base_width: int = 26,
        scale: int = 4,
        strides: Sequence[int] = (1, 2, 1, 1),
        dilations: Sequence[int] = (1, 1, 2, 4),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_frozen: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        stem = ('conv1', 'bn1')
        super().__init__(stem, out_indices, frozen_stages, norm_eval, norm_frozen, init_cfg)
        half = base_channels // 2
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, half, 3, 2, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, 1, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, base_channels, 3, 1, 1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(base_channels)
        channels = base_channels
        for i, blocks in enumerate(_BLOCKS[depth]):
            mid, stage = base_channels * 2**i, []
            for place in range(blocks):
                stride = 1 if place else strides[i]
                block = Res2Bottleneck(
                    channels, mid, stride, dilations[i], not place, base_width, scale
                )
                stage.append(block)
                channels = 4 * mid
            setattr(self, f'layer{i + 1}', nn.Sequential(*stage))
        self.freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Normalised images ``(B, 3, H, W)`` -> the stages of ``out_indices``."""
        x = F.relu(self.bn1(self.conv1(x)))
        return self.stages(F.max_pool2d(x, 3, 2, 1))
