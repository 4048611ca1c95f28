"""Pixel-adaptive refinement (PAR) as a module."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.ops.pixel_adaptive import DILATIONS, pixel_adaptive_refine
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, WHOLE, checked, one_of, several


@MODELS.register_module()
@checked(dilations=several(COUNT), iterations=WHOLE, resize=one_of('image', 'masks'))
class PAR(BaseModule):
    """See :func:`mmwsss.ops.pixel_adaptive.pixel_adaptive_refine`.

    Args:
        dilations: Distances of the neighbours.
        iterations: Rounds of averaging: 20 (WeCLIP), 10 or 15 (AFA on VOC or COCO).
        resize: What is resized if the sizes differ, ``'image'`` (WeCLIP) or ``'masks'`` (AFA).
    """

    def __init__(
        self,
        dilations: Sequence[int] = DILATIONS,
        iterations: int = 20,
        resize: str = 'image',
    ) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.iterations = iterations
        self.resize = resize

    def forward(self, image: Tensor, scores: Tensor) -> Tensor:
        """``(B, 3, h, w)`` image and ``(B, C, H, W)`` scores -> refined scores, no gradient."""
        return pixel_adaptive_refine(
            image, scores, self.dilations, self.iterations, resize=self.resize
        )
