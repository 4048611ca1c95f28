"""ResNet-38 with output stride 8: the classifier and segmentation backbone of PSA and SEAM."""

from collections.abc import Sequence
from itertools import chain

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, SHARE, checked, number, several


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1):
    padding = dilation * (kernel // 2)
    return nn.Conv2d(in_channels, channels, kernel, stride, padding, dilation, bias=False)


class PlainBlock(nn.Module):
    """Pre-activation block of two 3x3 convolutions.

    The shortcut is a 1x1 convolution of the activated input where the shape changes, otherwise
    the input before its activation. Returns the output and the activated input.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        channels: int,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(in_channels, momentum=bn_momentum)
        self.conv_branch2a = _conv(in_channels, mid_channels, 3, stride, dilations[0])
        self.bn_branch2b1 = nn.BatchNorm2d(mid_channels, momentum=bn_momentum)
        self.conv_branch2b1 = _conv(mid_channels, channels, 3, dilation=dilations[1])
        same = in_channels == channels and stride == 1
        self.conv_branch1 = None if same else _conv(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C, h, w)`` -> the block's output, and the activated input."""
        y = F.relu(self.bn_branch2a(x), inplace=True)
        shortcut = x if self.conv_branch1 is None else self.conv_branch1(y)
        out = F.relu(self.bn_branch2b1(self.conv_branch2a(y)), inplace=True)
        return shortcut + self.conv_branch2b1(out), y


class BottleneckBlock(nn.Module):
    """Pre-activation bottleneck with channel dropout; the shortcut is always a convolution."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilation: int,
        dropout: float,
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        quarter, half = channels // 4, channels // 2
        self.bn_branch2a = nn.BatchNorm2d(in_channels, momentum=bn_momentum)
        self.conv_branch2a = _conv(in_channels, quarter, 1)
        self.bn_branch2b1 = nn.BatchNorm2d(quarter, momentum=bn_momentum)
        self.conv_branch2b1 = _conv(quarter, half, 3, dilation=dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(half, momentum=bn_momentum)
        self.conv_branch2b2 = _conv(half, channels, 1)
        self.conv_branch1 = _conv(in_channels, channels, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`PlainBlock.forward`."""
        y = F.relu(self.bn_branch2a(x), inplace=True)
        out = self.conv_branch2a(y)
        out = self.dropout(F.relu(self.bn_branch2b1(out), inplace=True))
        out = self.conv_branch2b1(out)
        out = self.dropout(F.relu(self.bn_branch2b2(out), inplace=True))
        return self.conv_branch1(y) + self.conv_branch2b2(out), y


@MODELS.register_module()
@checked(
    base_channels=COUNT,
    out_indices=several(number(0, 4, integer=True)),
    dropout=several(SHARE, 2),
    frozen_stages=number(-1, 6, integer=True),
    norm_eval=FLAG,
    norm_frozen=FLAG,
    bn_momentum=SHARE,
    b7_dilation=COUNT,
)
class ResNet38d(BaseModule):
    """ResNet-38 (Wu et al., arXiv 1611.10080) with output stride 8, as jiwoon-ahn/psa has it.

    Taps, with the channels for ``base_channels=64``: 0 ``conv3`` (256, stride 4), 1 ``conv4``
    (512), 2 ``conv5`` (1024), 3 ``conv6`` (4096), the last three at stride 8. The first three
    are the activated inputs of the blocks ``b4``, ``b5`` and ``b6``; tap 4 is the input of ``b4``
    before norm and ReLU (256, stride 4). Attributes have the official names, so that state dicts
    differ by a prefix only. An odd input size n gives ceil(n / 2) at every stride.

    Args:
        base_channels: Channels of the first convolution; every other width is a multiple of it.
        out_indices: Taps to return.
        dropout: Channel dropout in ``b6`` and ``b7``.
        frozen_stages: -1 freezes nothing, 0 ``conv1a``, 1 (PSA) also ``b2*``, 2 also ``b3*``,
            and so on up to 6 for ``b7``.
        norm_eval: Batch norms always use their running statistics.
        norm_frozen: Affine parameters of the batch norms are not trained.
        bn_momentum: Weight of the current batch in the running statistics.
        b7_dilation: Dilation of the last block (PMM's SEAM: 2).
        init_cfg: See :class:`mmengine.model.BaseModule`; ``mmwsss.StrictPretrained`` reads
            ImageNet weights. None: PyTorch's default initialisation.
    """

    # stage: (blocks, mid and out channels in units of base_channels, stride, dilations)
    _PLAIN = {
        'b2': (3, 2, 2, 2, (1, 1), (1, 1)),
        'b3': (3, 4, 4, 2, (1, 1), (1, 1)),
        'b4': (6, 8, 8, 2, (1, 1), (1, 1)),
        'b5': (3, 8, 16, 1, (1, 2), (2, 2)),
    }

    def __init__(
        self,
        base_channels: int = 64,
        out_indices: Sequence[int] = (3,),
        dropout: tuple[float, float] = (0.3, 0.5),
        frozen_stages: int = 1,
        norm_eval: bool = True,
        norm_frozen: bool = True,
        bn_momentum: float = 0.1,
        b7_dilation: int = 4,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.norm_frozen = norm_frozen
        width = base_channels
        self.conv1a = _conv(3, width, 3)
        self._stages = [['conv1a']]
        channels = width
        for name, (blocks, mid, out, stride, first, others) in self._PLAIN.items():
            stage = [name] + [f'{name}_{i}' for i in range(1, blocks)]
            for i, block in enumerate(stage):
                dilations = others if i else first
                step = 1 if i else stride
                module = PlainBlock(
                    channels, mid * width, out * width, step, dilations, bn_momentum
                )
                self.add_module(block, module)
                channels = out * width
            self._stages.append(stage)
        self.b6 = BottleneckBlock(channels, 32 * width, 4, dropout[0], bn_momentum)
        self.b7 = BottleneckBlock(32 * width, 64 * width, b7_dilation, dropout[1], bn_momentum)
        self.bn7 = nn.BatchNorm2d(64 * width, momentum=bn_momentum)
        self._stages += [['b6'], ['b7']]
        self._freeze()

    def _freeze(self) -> None:
        for name in chain(*self._stages[: self.frozen_stages + 1]):
            getattr(self, name).requires_grad_(False)
        if self.norm_frozen:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.requires_grad_(False)

    def train(self, mode: bool = True) -> 'ResNet38d':
        """Training mode; batch norms stay in evaluation mode if ``norm_eval``."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Normalised images ``(B, 3, H, W)`` -> the taps of ``out_indices``, in their order."""
        x = self.conv1a(x)
        taps = []
        for name in chain(*self._stages[1:]):
            before = x
            x, activated = getattr(self, name)(x)
            if name in ('b4', 'b5', 'b6'):
                taps.append(activated)
            if name == 'b4':
                conv3_raw = before
        conv6 = F.relu(self.bn7(x), inplace=True)
        outputs = (*taps, conv6, conv3_raw)
        return tuple(outputs[i] for i in self.out_indices)
