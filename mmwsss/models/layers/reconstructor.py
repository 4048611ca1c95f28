"""The network of ACR that rebuilds images from parts of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, several

from .class_map_network import ClassMapNetwork


class Rebuilt(NamedTuple):
    """What :class:`Reconstructor` gives in training.

    Attributes:
        maps: Class maps before relu ``(B, C_fg, h, w)``.
        full: Image rebuilt from all features, which themselves do not learn from it.
        target, rest: Images ``(B, 3, H, W)`` rebuilt from the features that are kept.
    """

    maps: Tensor
    full: Tensor
    target: Tensor
    rest: Tensor


@MODELS.register_module()
@checked(
    in_channels=several(COUNT),
    channels=several(COUNT),
)
class Reconstructor(ClassMapNetwork):
    """A classifier whose features are also painted as an image (``Net_recon`` of sangrockEG/ACR).

    Args:
        backbone: Gives several maps of one size.
        decode_head: See :class:`ClassMapNetwork`.
        in_channels: Channels of the maps of the backbone.
        channels: Channels that each is reduced to, by a 1x1 convolution without bias.
        generator: :class:`UNetGenerator`; its ``in_channels`` are the sum of ``channels``.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: ``in_channels`` and ``channels`` differ in length.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        in_channels: Sequence[int] = (512, 1024, 4096),
        channels: Sequence[int] = (64, 128, 256),
        generator: dict = dict(type='mmwsss.UNetGenerator'),  # noqa: B006
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, decode_head, init_cfg)
        if len(in_channels) != len(channels):
            raise ValueError(
                f'in_channels={tuple(in_channels)} and channels={tuple(channels)} must have one '
                'value for every map of the backbone'
            )
        self.reductions = nn.ModuleList(
            nn.Conv2d(given, kept, 1, bias=False)
            for given, kept in zip(in_channels, channels, strict=True)
        )
        self.generator = MODELS.build({**generator, 'in_channels': sum(channels)})

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(B, 3, H, W)`` -> class maps, and features ``(B, D, h, w)`` to paint from."""
        taps = self.backbone(images)
        pairs = zip(self.reductions, taps, strict=True)
        return self.decode_head.scores(taps), torch.cat([conv(tap) for conv, tap in pairs], dim=1)

    def forward(self, images: Tensor, keep_target: Tensor, keep_rest: Tensor) -> Rebuilt:
        """The training pass.

        Args:
            images: Normalised, ``(B, 3, H, W)``.
            keep_target, keep_rest: Share of the features that is kept, ``(B, 1, H, W)``.
        """
        maps, features = self.encode(images)
        features = upsample(features, images.shape[-2:])
        return Rebuilt(
            maps,
            self.generator(features.detach()),
            self.generator(features * keep_target),
            self.generator(features * keep_rest),
        )

    def paint(self, features: Tensor) -> Tensor:
        """Features ``(B, D, H, W)`` -> images, with weights that are constants.

        Gradients reach the features alone.
        """
        constants = {name: p.detach() for name, p in self.generator.named_parameters()}
        return functional_call(self.generator, constants, (features,))
