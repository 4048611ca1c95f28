"""The U-Net that paints an image from a feature map."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, number

_WIDEST = 8  # in units of base_channels


def _down(channels: int, out: int, norm: bool, dropout: float) -> nn.Sequential:
    layers = [nn.Conv2d(channels, out, 4, 2, 1, bias=False)]
    layers += [nn.InstanceNorm2d(out)] if norm else []
    layers += [nn.LeakyReLU(0.2), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _up(channels: int, out: int, dropout: float) -> nn.Sequential:
    conv = nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False)
    return nn.Sequential(conv, nn.InstanceNorm2d(out), nn.ReLU(inplace=True), nn.Dropout(dropout))


@MODELS.register_module()
@checked(
    in_channels=COUNT,
    out_channels=COUNT,
    base_channels=COUNT,
    depth=number(2, 12, integer=True),
    dropout=number(0, 1, open_high=True),
)
class UNetGenerator(BaseModule):
    """pix2pix's generator (arXiv 1611.07004) without its last tanh, as sangrockEG/ACR has it.

    ``depth`` convolutions of stride 2 and as many steps back, with a connection at every size. The
    first three widths are 1, 2 and 4 times ``base_channels``, all deeper ones 8 times; dropout is
    where the width is 8 times. The last step doubles the size by repeating pixels.

    Args:
        in_channels: Channels of the feature map.
        out_channels: Of the image.
        base_channels: Of the first convolution.
        depth: How often the size is halved.
        dropout: Rate.
        init_cfg: See :class:`mmengine.model.BaseModule`; PyTorch's default initialisation.

    Raises:
        ValueError: ``depth`` or ``dropout`` is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 3,
        base_channels: int = 64,
        depth: int = 8,
        dropout: float = 0.5,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.depth = depth
        factors = [min(2**i, _WIDEST) for i in range(depth)]
        widths = [factor * base_channels for factor in factors]
        rates = [dropout if factor == _WIDEST else 0.0 for factor in factors]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, channels in enumerate([in_channels, *widths[:-1]]):
            self.downs.append(_down(channels, widths[i], 0 < i < depth - 1, rates[i]))
        channels = widths[-1]
        for i in reversed(range(depth - 1)):
            self.ups.append(_up(channels, widths[i], rates[i]))
            channels = 2 * widths[i]
        self.final = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(channels, out_channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` -> ``(B, out_channels, H, W)``.

        Raises:
            ValueError: H or W is no multiple of ``2 ** depth``.
        """
        multiple, (height, width) = 2**self.depth, x.shape[-2:]
        if height % multiple or width % multiple:
            raise ValueError(
                f'{type(self).__name__} halves its input {self.depth} times: both sides must be '
                f'multiples of {multiple}, got {height} x {width}. Change the crop_size of the '
                'training, or depth of the generator.'
            )
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = torch.cat([up(x), skips.pop()], dim=1)
        return self.final(x)
