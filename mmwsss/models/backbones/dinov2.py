"""Frozen DINOv2 as a backbone."""

import os
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsss.models.utils.dino_weights import load_dino
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import FLAG, checked

from .frozen import FrozenBackbone


@MODELS.register_module()
@checked(save_frozen=FLAG)
class FrozenDINOv2(FrozenBackbone):
    """DINOv2 that is never trained: patch tokens of images of any size.

    Checkpoints do not hold its weights but a digest of them.

    Args:
        checkpoint: See :func:`mmwsss.models.utils.dino_weights.load_dino`.
        save_frozen: Keep the weights in checkpoints.
    """

    kind = 'DINOv2'
    towers = ('vit',)

    def __init__(
        self,
        checkpoint: str | os.PathLike | Mapping[str, Tensor] = 'dinov2_vits14',
        save_frozen: bool = False,
    ) -> None:
        source = 'state dict' if isinstance(checkpoint, Mapping) else str(checkpoint)
        super().__init__(source, self.towers if save_frozen else ())
        self.vit = load_dino(checkpoint)
        self.freeze()

    @property
    def embed_dims(self) -> int:
        """Width of the tokens."""
        return self.vit.cls_token.shape[-1]

    @torch.no_grad()
    def encode(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens behind the final norm.

        Args:
            image: Normalised ``(B, 3, H, W)``; resized (bilinear) to the largest multiples of the
                patch that are not larger.

        Returns:
            Class and patch tokens ``(B, 1 + h*w, C)``, and their grid (h, w).

        Raises:
            ValueError: A side is smaller than a patch.
        """
        patch = self.vit.patch_size
        grid = (image.shape[-2] // patch, image.shape[-1] // patch)
        if 0 in grid:
            raise ValueError(
                f'an image of {tuple(image.shape[-2:])} pixels is smaller than a patch of {patch} '
                'pixels; resize it first'
            )
        size = (grid[0] * patch, grid[1] * patch)
        image = F.interpolate(image, size=size, mode='bilinear', align_corners=False)
        return self.vit(image), grid

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The patch map ``(B, C, h, w)``, for mmseg's heads."""
        tokens, grid = self.encode(image)
        return (tokens[:, 1:].transpose(1, 2).unflatten(2, grid),)
