"""Affinity vector consistency, AVC's loss as we reconstruct it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmwsss.ops.affinity.vectors import (
    VIEW_MODES,
    affinity_vectors,
    mirror_affinity,
    region_consistency,
    region_labels,
    view_consistency,
)
from mmwsss.ops.class_attention import refine_by_attention
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, SHARE, WEIGHT, WHOLE, checked, one_of
from mmwsss.utils.checks import check_range


@MODELS.register_module()
@checked(
    use_view=FLAG,
    use_pos=FLAG,
    use_neg=FLAG,
    view_mode=one_of(*VIEW_MODES),
    view_weight=WEIGHT,
    pos_weight=WEIGHT,
    neg_weight=WEIGHT,
    region_start=WHOLE,
    last_layers=COUNT,
    symmetric=FLAG,
    row_norm=FLAG,
    foreground=SHARE,
    background=SHARE,
    bg_as_region=FLAG,
)
class AffinityVectorLoss(nn.Module):
    """Affinity vectors agree between two views and within a region: a *reconstruction* of AVC.

    "Weakly Supervised Semantic Segmentation Based on Affinity Vector Consistency", xupeijun01/AVC.
    Neither its paper nor its training code is public; known are its name, the networks of its
    weights and a picture in which the trained affinity is nearly symmetric, the same for all
    patches of a region and zero between regions. This loss asks for these properties; its terms,
    weights and defaults are ours, and none is proven to be the authors'.

    ============== ==============================================================================
    ``loss_view``  :func:`mmwsss.ops.affinity.vectors.view_consistency` of image and mirror image
    ``loss_pos``   patches of one region have one affinity vector
    ``loss_neg``   those of different regions orthogonal ones; both
                   :func:`mmwsss.ops.affinity.vectors.region_consistency`
    ============== ==============================================================================

    Args:
        use_view, use_pos, use_neg: Which terms there are; without any the method is TransCAM.
        view_mode: ``'cosine'``, ``'l1'`` or ``'kl'``.
        view_weight, pos_weight, neg_weight: Factors.
        region_start: The terms of regions count from this iteration (from 0) on; before they are 0.
        last_layers: The affinity is the mean attention of this many last layers; None: of all.
        symmetric, row_norm: See :func:`mmwsss.ops.affinity.vectors.affinity_vectors`.
        foreground, background: See :func:`mmwsss.ops.affinity.vectors.region_labels`.
        bg_as_region: The background is a region, too.

    Raises:
        ValueError: A value is none of the choices or out of its range.
    """

    def __init__(
        self,
        use_view: bool = True,
        use_pos: bool = True,
        use_neg: bool = True,
        view_mode: str = 'cosine',
        view_weight: float = 1.0,
        pos_weight: float = 0.2,
        neg_weight: float = 0.2,
        region_start: int = 2644,
        last_layers: int | None = None,
        symmetric: bool = True,
        row_norm: bool = True,
        foreground: float = 0.6,
        background: float = 0.25,
        bg_as_region: bool = True,
    ) -> None:
        super().__init__()
        weights = dict(view=view_weight, pos=pos_weight, neg=neg_weight)
        use = dict(view=use_view, pos=use_pos, neg=use_neg)
        check_range('background', background, 0, foreground)
        self.use = use
        self.weights, self.view_mode, self.region_start = weights, view_mode, region_start
        self.last_layers, self.symmetric, self.row_norm = last_layers, symmetric, row_norm
        self.foreground, self.background = foreground, background
        self.bg_as_region = bg_as_region

    @property
    def used(self) -> bool:
        """Whether there is any term."""
        return any(self.use.values())

    @property
    def two_views(self) -> bool:
        """Whether the mirror images are needed."""
        return self.use['view']

    def forward(
        self, layers: Sequence[Tensor], cams: Tensor, image_labels: Tensor, iteration: int
    ) -> dict[str, Tensor]:
        """The terms in use.

        Args:
            layers: Attention of each layer, mean over heads, ``(V * B, 1 + N, 1 + N)``: of all
                images, then, with two views, of their mirror images.
            cams: Class maps ``(V * B, C, h, w)`` before refinement; gradients do not pass.
            image_labels: Multi-hot ``(B, C)``.
            iteration: Of the training, from 0.

        Raises:
            ValueError: ``last_layers`` is more than there are.
        """
        check_range('last_layers', self.last_layers, 1, len(layers))
        losses, count, grid = {}, len(image_labels), tuple(cams.shape[-2:])
        with torch.autocast(cams.device.type, enabled=False):
            patches = [_double_or_float(layer[:, 1:, 1:]) for layer in layers]
            last = patches[-(self.last_layers or len(layers)) :]
            vectors = affinity_vectors(sum(last) / len(last), self.symmetric, self.row_norm)
            first, mirrored = vectors[:count], vectors[count:]
            if self.use['view']:
                same = mirror_affinity(mirrored, grid)
                losses['loss_view'] = view_consistency(first, same, self.view_mode)
            if self.use['pos'] or self.use['neg']:
                regions = None
                if iteration >= self.region_start:
                    seen = sum(layer[:count].detach() for layer in patches)
                    maps = cams[:count].detach().to(seen)
                    maps = refine_by_attention(maps, seen)
                    regions = region_labels(maps, image_labels, self.foreground, self.background)
                losses.update(self._region_losses(first, regions))
        return {name: self.weights[name[5:]] * value for name, value in losses.items()}

    def _region_losses(self, vectors: Tensor, regions: Tensor | None) -> dict[str, Tensor]:
        """Before the start there are no regions, and the terms are 0."""
        if regions is None:
            terms = (vectors.new_zeros(()),) * 2
        else:
            terms = region_consistency(vectors, regions, self.bg_as_region)
        return {
            f'loss_{name}': term
            for name, term in zip(('pos', 'neg'), terms, strict=True)
            if self.use[name]
        }


def _double_or_float(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
