"""Atrous spatial pyramid pooling whose norms have no statistics of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .conv_norm_relu import conv_norm_relu


class FixedNormASPP(nn.Module):
    """DeepLabv3's ASPP as 1-Stage (arXiv 2005.08104) trains it.

    A 1x1 convolution, one 3x3 convolution per dilation and the pooled image, concatenated and
    projected. All batch norms stay in evaluation mode, with mean 0 and variance 1 from their
    initialisation on: they are affine layers per channel, whose parameters are trained.

    Args:
        in_channels: Channels of the input.
        channels: Channels of every branch and of the output.
        dilations: Of the 3x3 convolutions.
        dropout: Ratio of the elements of the output.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        dilations: Sequence[int] = (12, 24, 36),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm_relu(in_channels, channels)])
        self.branches.extend(conv_norm_relu(in_channels, channels, 3, d) for d in dilations)
        self.image_branch = conv_norm_relu(in_channels, channels)
        self.project = conv_norm_relu((len(dilations) + 2) * channels, channels)
        self.dropout = nn.Dropout(dropout)

    def train(self, mode: bool = True) -> 'FixedNormASPP':
        """Training mode of everything but the batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, h, w)`` -> ``(B, channels, h, w)``."""
        image = self.image_branch(x.mean((-2, -1), keepdim=True))
        maps = [branch(x) for branch in self.branches]
        maps.append(image.expand_as(maps[0]))
        return self.dropout(self.project(torch.cat(maps, dim=1)))
