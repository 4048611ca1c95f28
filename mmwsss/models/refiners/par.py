"""Pixel-adaptive refinement as a module."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.ops.pixel_adaptive import pixel_adaptive_refine
from mmwsss.registry import MODELS


@MODELS.register_module()
class PAR(BaseModule):
    """See :func:`mmwsss.ops.pixel_adaptive.pixel_adaptive_refine`.

    Args:
        dilations: Distances of the neighbours.
        iterations: Rounds of averaging.
    """

    def __init__(
        self, dilations: Sequence[int] = (1, 2, 4, 8, 12, 24), iterations: int = 20
    ) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.iterations = iterations

    @torch.no_grad()
    def forward(self, image: Tensor, scores: Tensor) -> Tensor:
        """``(B, 3, h, w)`` image and ``(B, C, H, W)`` scores -> refined scores."""
        return pixel_adaptive_refine(image, scores, self.dilations, self.iterations)
