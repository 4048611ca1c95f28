"""Global cue injection: deep features of the whole image modulate shallow ones."""

from torch import Tensor, nn

from .conv_norm_relu import conv_norm_relu


class GlobalCueInjection(nn.Module):
    """AdaIN with a scale and a shift from max-pooled deep features (arXiv 2005.08104, 3.4).

    Args:
        shallow_channels: Channels of the shallow features.
        channels: Channels of the deep features and of the output.
    """

    def __init__(self, shallow_channels: int, channels: int = 256) -> None:
        super().__init__()
        self.cue = conv_norm_relu(channels, 2 * channels)
        self.shallow = nn.Sequential(
            nn.Conv2d(shallow_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
        )
        self.output = conv_norm_relu(channels, channels)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """``(B, shallow_channels, h, w)``, ``(B, channels, h, w)`` -> ``(B, channels, h, w)``."""
        scale, shift = self.cue(deep).amax((-2, -1), keepdim=True).chunk(2, dim=1)
        return self.output((self.shallow(shallow) * (scale + 1) + shift).relu())
