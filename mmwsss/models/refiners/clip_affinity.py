"""Refinement of cams with CLIP's own attention."""

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.ops.affinity import gated_attention, mean_attention
from mmwsss.ops.affinity.caa import class_aware_affinity
from mmwsss.registry import MODELS


@MODELS.register_module()
class CLIPAffinityRefiner(BaseModule):
    """WeCLIP's frozen-CLIP cam refinement (RFM, section 3.3), built on CLIP-ES's class-aware
    attention affinity.

    First the affinity is the mean attention of the last layers (static phase); once the decoder
    has learned, it is the attention of the trustworthy layers gated by the decoder's affinity.

    Args:
        static_last: Attention maps averaged in the static phase.
        gated_last: Maps to choose from in the gated phase: 6 (VOC), 10 (COCO).
        box_threshold: See :func:`mmwsss.ops.affinity.box_mask.box_mask`: 0.4 (VOC), 0.7 (COCO);
            None: no boxes.
        gated_start: Training iterations of the static phase. The published VOC numbers were made
            with 9144: the official counter also counts the validation images seen between.
            Evaluation is always gated.
    """

    def __init__(
        self,
        static_last: int = 8,
        gated_last: int = 6,
        box_threshold: float | None = 0.4,
        gated_start: int = 15000,
    ) -> None:
        super().__init__()
        self.static_last = static_last
        self.gated_last = gated_last
        self.box_threshold = box_threshold
        self.gated_start = gated_start

    def check_blocks(self, num_layers: int) -> None:
        """Raise ValueError if a phase wants attention maps of more blocks than there are."""
        for name in ('static_last', 'gated_last'):
            if not 1 <= getattr(self, name) <= num_layers:
                raise ValueError(
                    f'refiner.{name} is {getattr(self, name)}, but the CLIP has {num_layers} blocks'
                )

    def num_attn(self, gated: bool) -> int:
        """Attention maps that a phase needs, the last block's included."""
        return self.gated_last if gated else self.static_last

    def affinity(self, attn: Tensor, predicted: Tensor | None, gated: bool) -> Tensor:
        """Patch affinity of a phase before normalisation.

        Args:
            attn: ``(n, B, N, N)`` head-averaged attention, deepest last.
            predicted: The decoder's affinity ``(B, N, N)``; not used in the static phase.
            gated: Phase.

        Returns:
            ``(B, N, N)``.
        """
        if gated:
            return gated_attention(attn, predicted.float(), self.gated_last)
        return mean_attention(attn, self.static_last)

    @torch.no_grad()
    def forward(
        self,
        cams: Tensor,
        attn: Tensor,
        predicted: Tensor | None,
        image_index: Tensor,
        gated: bool,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Refine the cams of all (image, class) pairs.

        Args:
            cams: ``(P, h, w)`` in [0, 1].
            attn, predicted, gated: See :meth:`affinity`.
            image_index: ``(P,)`` ascending.
            weight: See :func:`mmwsss.ops.affinity.caa.class_aware_affinity`.

        Returns:
            ``(P, h, w)``, >= 0, not normalised.
        """
        affinity = self.affinity(attn, predicted, gated)
        return class_aware_affinity(affinity, cams, image_index, self.box_threshold, weight)
