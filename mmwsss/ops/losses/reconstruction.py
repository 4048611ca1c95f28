"""Losses of ACR: parts of an image that are rebuilt from the features of the other parts.

*Weakly Supervised Semantic Segmentation via Adversarial Learning of Classifier and Reconstructor*,
Kweon et al., CVPR 2023; official code: sangrockEG/ACR, ``Exp.training_step``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cam import merge_cams
from ..resize import upsample
from ..threads import on_one_thread

_SEEN = 50  # pixels that must be left of an image to rebuild the rest from


@on_one_thread
def masked_l1(recon: Tensor, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean of ``|recon * mask - image * mask|`` over all pixels, those without mask included.

    The size of the mask does not matter: a small part counts little (``Exp.masked_L1``).

    Args:
        recon, image: ``(B, 3, H, W)``.
        mask: ``(B, 1, H, W)`` in [0, 1].
        valid: ``(B,)`` bool; other images do not take part. Without any the loss is 0.

    Returns:
        Scalar.
    """
    error = (recon * mask - image * mask).abs()
    if valid is None:
        return error.mean()
    return (error.mean((1, 2, 3)) * valid).sum() / valid.sum().clamp(min=1)


def erase_grid(draws: Tensor, percent: float, size: tuple[int, int]) -> Tensor:
    """Cells of a grid that are erased.

    Args:
        draws: Whole numbers of 0 to 99, drawn uniformly, ``(B, 1, g, g)``.
        percent: Share of the cells to erase.
        size: ``(H, W)`` of the image.

    Returns:
        ``(B, 1, H, W)`` float: 1 erased, 0 kept.
    """
    return F.interpolate((draws < percent).float(), size=size, mode='nearest')


def target_segment(maps: Tensor, targets: Tensor, size: tuple[int, int]) -> Tensor:
    """How much every pixel belongs to the target class, by the class maps.

    With ``m`` and ``M`` the smallest and the largest value of ``X = relu(map)``:
    ``relu(X - m - 1e-5) / (M - m + 1e-5)``, resized (``Exp.max_norm``).

    Args:
        maps: Class maps before relu ``(B, C, h, w)``.
        targets: ``(B,)`` classes, -1 for none.
        size: ``(H, W)`` of the image.

    Returns:
        ``(B, 1, H, W)`` in [0, 1]; 0 where there is no target.
    """
    chosen = maps[torch.arange(len(maps), device=maps.device), targets.clamp(min=0)][:, None]
    segment = merge_cams([chosen.float()], chosen.shape[-2:], 'acr')
    return upsample(segment * (targets >= 0)[:, None, None, None], size)


class Erased(NamedTuple):
    """What is hidden from the reconstructor, by the grid.

    Attributes:
        target: Of the target's segment, ``(B, 1, H, W)`` in [0, 1].
        rest: Of all that is not in the segment.
        valid: ``(B,)`` bool: there is a target, and enough is left to rebuild it from.
    """

    target: Tensor
    rest: Tensor
    valid: Tensor


def erase_segments(segment: Tensor, grid: Tensor, targets: Tensor) -> Erased:
    """Erase cells of the target's segment, and, apart, cells of the rest.

    Args:
        segment: :func:`target_segment`.
        grid: :func:`erase_grid`.
        targets: ``(B,)``, -1 for none.
    """
    target, rest = segment * grid, (1 - segment) * grid
    left = (1 - target).sum((1, 2, 3))
    return Erased(target, rest, (left > _SEEN) & (targets >= 0))


def reconstructor_losses(
    logits: Tensor,
    image_labels: Tensor,
    image: Tensor,
    full: Tensor,
    target: Tensor,
    rest: Tensor,
    erased: Erased,
) -> dict[str, Tensor]:
    """What the reconstructor minimises, before weights.

    Args:
        logits, image_labels: ``(B, C)``.
        image: ``(B, 3, H, W)``, and as it is rebuilt
        full: from all features,
        target, rest: from what is left when the segment or the rest is erased.
        erased: See :func:`erase_segments`; errors count where it is.

    Returns:
        ``recon_cls``, ``recon_full``, ``recon_target`` and ``recon_rest``.
    """
    return dict(
        recon_cls=F.binary_cross_entropy_with_logits(logits, image_labels),
        recon_full=(full - image).abs().mean(),
        recon_target=masked_l1(target, image, erased.target, erased.valid),
        recon_rest=masked_l1(rest, image, erased.rest),
    )


def classifier_losses(
    logits: Tensor,
    image_labels: Tensor,
    image: Tensor,
    target: Tensor,
    rest: Tensor,
    segment: Tensor,
    maps: Tensor,
    targets: Tensor,
) -> dict[str, Tensor]:
    """What the classifier minimises, before weights: neither part shall help to rebuild the other.

    Errors of what is rebuilt from the segment count where the segment is exactly 0, those of what
    is rebuilt from the rest in the segment, as far as the target has the largest map. They are
    negative, for the classifier wants them large.

    Args:
        logits, image_labels: ``(B, C)``.
        image: ``(B, 3, H, W)``, and as it is rebuilt
        target, rest: from the features of the segment, and from those of the rest.
        segment: :func:`target_segment`.
        maps: Class maps before relu ``(B, C, h, w)``.
        targets: ``(B,)``, -1 for none.

    Returns:
        ``cls``, ``target`` and ``rest``.
    """
    where = segment.detach()
    winner = upsample(maps.detach(), image.shape[-2:]).max(dim=1, keepdim=True).indices
    wins = winner == targets[:, None, None, None]
    return dict(
        cls=F.binary_cross_entropy_with_logits(logits, image_labels),
        target=-masked_l1(target, image, (where == 0).float(), targets >= 0),
        rest=-masked_l1(rest, image, where * wins),
    )
