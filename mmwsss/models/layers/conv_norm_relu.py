"""Convolution, batch norm and ReLU."""

from torch import nn


def conv_norm_relu(
    in_channels: int, channels: int, kernel: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution without bias that keeps the size, batch norm, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, 1, padding, dilation, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
