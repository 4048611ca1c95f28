"""Refinement of cams with CLIP's own attention."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.ops.affinity import gated_attention, mean_attention
from mmwsss.ops.affinity.caa import class_aware_affinity
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, SHARE, WHOLE, checked


@MODELS.register_module()
@checked(static_last=COUNT, gated_last=COUNT, box_threshold=SHARE, gated_start=WHOLE)
class CLIPAffinityRefiner(BaseModule):
    """WeCLIP's frozen-CLIP cam refinement (RFM, section 3.3), built on CLIP-ES's class-aware
    attention affinity.

    First the affinity is the mean attention of the last layers (static phase); once the decoder
    has learned, it is the attention of the trustworthy layers gated by the decoder's affinity.

    Args:
        static_last: Attention maps averaged in the static phase; None: there is none.
        gated_last: Maps to choose from in the gated phase; None: there is none.
        box_threshold: See :func:`mmwsss.ops.affinity.box_mask.box_mask`; None: no boxes.
        gated_start: Training iterations of the static phase, for methods with both; None: there
            is one phase. Evaluation is gated if there is a gated phase.

    Raises:
        ValueError: ``gated_start`` does not suit the phases.
    """

    def __init__(
        self,
        static_last: int | None = 8,
        gated_last: int | None = 6,
        box_threshold: float | None = 0.4,
        gated_start: int | None = 15000,
    ) -> None:
        super().__init__()
        if (gated_start is not None) != (None not in (static_last, gated_last)):
            raise ValueError(
                'refiner.gated_start is where the static phase ends: give it if static_last and '
                'gated_last are both given, and None if one of them is None'
            )
        self.static_last = static_last
        self.gated_last = gated_last
        self.box_threshold = box_threshold
        self.gated_start = gated_start

    def check(self, num_layers: int, phases: Sequence[str] = ('static', 'gated')) -> None:
        """Check that the phases are those of a method, and that there are blocks for them.

        Args:
            num_layers: Blocks of the CLIP.
            phases: What the method has of ``'static'`` and ``'gated'``.

        Raises:
            ValueError: A phase is missing or has no use, or wants attention maps of more blocks
                than there are.
        """
        for phase in ('static', 'gated'):
            name, last = f'refiner.{phase}_last', getattr(self, f'{phase}_last')
            if (phase in phases) != (last is not None):
                raise ValueError(
                    f'{name} is {last}, but the method has '
                    + (f'a {phase} phase' if phase in phases else f'no {phase} phase: set it None')
                )
            if last is not None and not 1 <= last <= num_layers:
                raise ValueError(f'{name} is {last}, but the CLIP has {num_layers} blocks')

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
