"""ScaleNet: a ResNet whose 3x3 convolutions see several resolutions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, several

from .norm_stages import NormStages

SCALES = (1, 2, 4, 7)  # of the pooling before each branch
_SIDES = (56, 28, 14, 7)  # of the stages for images of 224 pixels, for which widths were found
Widths = Sequence[Sequence[Sequence[int]]]

# fmt: off
SCALENET101: Widths = (
    ((61, 11, 7, 7), (56, 23, 4, 3), (59, 24, 3, 0)),
    ((123, 41, 1, 6), (126, 38, 1, 6), (127, 41, 3, 0), (127, 41, 3, 0)),
    (
        (220, 86, 35, 0), (186, 64, 55, 36), (156, 25, 53, 107), (191, 44, 52, 54),
        (181, 53, 83, 24), (221, 82, 34, 4), (177, 62, 90, 12), (130, 75, 102, 34),
        (206, 71, 55, 9), (203, 83, 53, 2), (207, 73, 54, 7), (245, 84, 12, 0), (221, 103, 17, 0),
        (221, 100, 20, 0), (158, 99, 84, 0), (220, 106, 15, 0), (173, 92, 73, 3), (135, 122, 84, 0),
        (109, 71, 132, 29), (147, 94, 93, 7), (191, 108, 42, 0), (127, 95, 113, 6),
        (203, 117, 21, 0),
    ),
    ((282, 377, 23, 0), (279, 388, 15, 0), (84, 442, 155, 1)),
)
# fmt: on


class ScaleBlock(nn.Module):
    """Bottleneck whose middle convolution has a branch for every scale (``SABlock``).

    A branch pools by its scale (maximum), convolves, goes back to the size of the input, and is
    normalised; the branches are concatenated. A stride is a maximum pooling of the input, which the
    shortcut sees, too.

    Args:
        in_channels, mid_channels, channels: Of the block, of its first convolution, of its output.
        widths: Channels of the branches, 0 for none.
        side: Of the maps of this stage for images of 224 pixels: a branch that sees a single pixel
            there has 1x1 convolutions.
        stride, dilation: Of the block.
        shortcut: Whether the shortcut is a 1x1 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        channels: int,
        widths: Sequence[int],
        side: int,
        stride: int = 1,
        dilation: int = 1,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.downsample = None
        if shortcut:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid_channels)
        self.conv2, self.bn2 = nn.ModuleDict(), nn.ModuleDict()
        for i, width in enumerate(widths):
            if width:
                spread = dilation if side / 2**i > 1 else 0
                self.conv2[str(i)] = nn.Conv2d(
                    mid_channels,
                    width,
                    3 if spread else 1,
                    padding=spread,
                    dilation=spread or 1,
                    bias=False,
                )
                self.bn2[str(i)] = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(sum(widths), channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` -> ``(B, channels, h / stride, w / stride)``."""
        if self.stride > 1:
            x = F.max_pool2d(x, self.stride)
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        branches = [
            self.bn2[i](_resized(conv(_pooled(out, SCALES[int(i)])), out.shape[-2:]))
            for i, conv in self.conv2.items()
        ]
        out = F.relu(torch.cat(branches, dim=1))
        return F.relu(shortcut + self.bn3(self.conv3(out)))


def _pooled(x: Tensor, scale: int) -> Tensor:
    """Maximum of cells of ``scale`` pixels; a map that is smaller becomes one pixel along it."""
    if scale == 1:
        return x
    window = [min(scale, side) for side in x.shape[-2:]]
    return F.max_pool2d(x, window, window)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Back to ``size``: nearest where it is a multiple, else bilinear."""
    if x.shape[-2:] == size:
        return x
    if all(new % old == 0 for new, old in zip(size, x.shape[-2:], strict=True)):
        return F.interpolate(x, size, mode='nearest')
    return F.interpolate(x, size, mode='bilinear', align_corners=False)


def _check_widths(name: str, widths: object) -> None:
    try:
        good = len(widths) == 4 and all(
            len(w) == 4 and sum(w) >= 1 and min(w) >= 0 for stage in widths for w in stage
        )
    except TypeError:
        good = False
    if not good:
        raise ValueError(
            f'{name} must be four stages of blocks with four numbers each, the channels of the '
            f'branches, of which at least one is above 0; got {widths!r}'
        )


@MODELS.register_module()
@checked(
    widths=_check_widths,
    base_channels=COUNT,
    strides=several(COUNT, 4),
    dilations=several(COUNT, 4),
)
class ScaleNet(NormStages):
    """ScaleNet-101 (Li et al., *Data-Driven Neuron Allocation for Scale Aggregation Networks*, CVPR
    2019, arXiv 1904.09460; official code: Eli-YiLi/ScaleNet, WSSS_MMSeg).

    Names of modules are official. A map smaller than a pooling window is pooled to one pixel along
    that side, where the official code crashes if it is high.

    Args:
        widths: For each stage and block the channels of the four branches.
        base_channels: Channels of the stem; stages have 1, 2, 4 and 8 times as many inside their
            blocks, and 4 times those outside.
        strides: Of the stages. (1, 2, 1, 1): output stride 8.
        dilations: Of the stages; PMM's classifier has (1, 1, 1, 1), its segmentation network
            (1, 1, 2, 4).
        out_indices, frozen_stages, norm_eval, norm_frozen, init_cfg: See :class:`NormStages`.

    Raises:
        ValueError: ``widths`` has not four stages of blocks with four branches, a block is without
            a branch, or a value is out of range.
    """

    def __init__(
        self,
        widths: Widths = SCALENET101,
        base_channels: int = 64,
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
        self.conv1 = nn.Conv2d(3, base_channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        channels = base_channels
        for i, blocks in enumerate(widths):
            mid, stage = base_channels * 2**i, []
            for place, branches in enumerate(blocks):
                first = place == 0
                stage.append(
                    ScaleBlock(
                        channels,
                        mid,
                        4 * mid,
                        branches,
                        _SIDES[i],
                        strides[i] if first else 1,
                        dilations[i],
                        shortcut=first,
                    )
                )
                channels = 4 * mid
            setattr(self, f'layer{i + 1}', nn.Sequential(*stage))
        self.freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Normalised images ``(B, 3, H, W)`` -> the stages of ``out_indices``."""
        x = F.relu(self.bn1(self.conv1(x)))
        return self.stages(F.max_pool2d(x, 3, 2, 1))
