"""SEAM's classifier and pixel correlation module."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.ops.resize import upsample
from mmwsss.ops.seam import background_and_winner, pixel_correlation
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, number, several


@MODELS.register_module()
@checked(
    in_channels=several(COUNT, 3),
    num_classes=COUNT,
    channels=several(COUNT, 2),
    dropout_ratio=number(0, 1, open_high=True),
)
class PCMHead(BaseModule):
    """Class maps, and class maps refined by the correlation of pixels (SEAM, as in PMM).

    A 1x1 convolution without bias gives the maps. They are refined
    (:func:`mmwsss.ops.seam.pixel_correlation`) by features made of the image and two levels of the
    backbone, through which no gradient flows back. Layers have the official names.

    Args:
        in_channels: Of three levels of one size; the maps are made of the last one.
        num_classes: Foreground classes; the maps have one channel more, the background first.
        channels: That the first two levels are reduced to.
        dropout_ratio: Channel dropout before the classifier; 0.5 with ResNet-38, 0 with ScaleNet.
        init_cfg: See :class:`mmengine.model.BaseModule`. None: as published.

    Raises:
        ValueError: A value is out of range, or ``in_channels`` are not three.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (512, 1024, 4096),
        num_classes: int = 20,
        channels: tuple[int, int] = (64, 128),
        dropout_ratio: float = 0.5,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.fc8 = nn.Conv2d(in_channels[2], 1 + num_classes, 1, bias=False)
        self.f8_3 = nn.Conv2d(in_channels[0], channels[0], 1, bias=False)
        self.f8_4 = nn.Conv2d(in_channels[1], channels[1], 1, bias=False)
        mixed = sum(channels)
        self.f9 = nn.Conv2d(3 + mixed, mixed, 1, bias=False)
        nn.init.xavier_uniform_(self.fc8.weight)
        nn.init.kaiming_normal_(self.f8_3.weight)
        nn.init.kaiming_normal_(self.f8_4.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def cam(self, features: Sequence[Tensor]) -> Tensor:
        """Levels of the backbone -> maps ``(B, 1 + C, h, w)`` of either sign."""
        return self.fc8(self.dropout(features[2]))

    def forward(self, features: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps, and refined maps.

        Args:
            features: Three levels ``(B, C_i, h, w)``.
            images: Normalised ``(B, 3, H, W)``.

        Returns:
            Both ``(B, 1 + C, h, w)``; no gradient flows from the second to the first.
        """
        cam = self.cam(features)
        small = upsample(images, cam.shape[-2:], align_corners=True)
        f8_3 = F.relu(self.f8_3(features[0].detach()))
        f8_4 = F.relu(self.f8_4(features[1].detach()))
        mixed = self.f9(torch.cat([small, f8_3, f8_4], dim=1))
        return cam, pixel_correlation(background_and_winner(cam.detach()), mixed)
