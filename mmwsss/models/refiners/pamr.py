"""Pixel-adaptive mask refinement (PAMR) as a module."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.ops.pixel_adaptive import DILATIONS, pamr
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, WHOLE, checked, one_of, several


@MODELS.register_module()
@checked(dilations=several(COUNT), iterations=WHOLE, resize=one_of('image', 'masks'))
class PAMR(BaseModule):
    """See :func:`mmwsss.ops.pixel_adaptive.pamr`.

    Args:
        dilations: Distances of the neighbours.
        iterations: Rounds of averaging.
        resize: What is resized if the sizes differ, ``'image'`` (1-Stage) or ``'masks'``.
    """

    def __init__(
        self,
        dilations: Sequence[int] = DILATIONS,
        iterations: int = 10,
        resize: str = 'image',
    ) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.iterations = iterations
        self.resize = resize

    def forward(self, image: Tensor, scores: Tensor) -> Tensor:
        """``(B, 3, h, w)`` image and ``(B, C, H, W)`` scores -> refined scores, no gradient."""
        return pamr(image, scores, self.dilations, self.iterations, self.resize)
