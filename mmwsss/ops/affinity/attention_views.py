"""All-pairs consistency between the attention of two views, and class maps from attention and its
gradient (APC and GETAM)."""

import torch
from torch import Tensor

from .vectors import mirror_affinity, mirrored_cells

GETAM_RULES = ('grad', 'grad_s', 'cam_grad', 'cam_grad_s')


def attention_view_losses(
    first: Tensor, second: Tensor, grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Mean L1 difference between the attention of an image and of its mirror image (APC).

    "All-pairs Consistency Learning for Weakly Supervised Semantic Segmentation", arXiv 2308.04321;
    official code: OpenNLPLab/ACR_WSSS, ``train_acr.py``.

    Args:
        first, second: Attentions of the image and of the mirror image, mean over heads, layers
            kept separate: ``(B, L, 1 + N, 1 + N)``, the class token first, rows are queries.
        grid: (h, w) of the N patches.

    Returns:
        Scalars: of the class token's attention to the patches, and of that between patches.
    """
    cells = mirrored_cells(grid, first.device)
    classes = (first[..., 0, 1:] - second[..., 0, 1:][..., cells]).abs().mean()
    pairs = first[..., 1:, 1:] - mirror_affinity(second[..., 1:, 1:], grid)
    return classes, pairs.abs().mean()


def getam(attention: Tensor, gradient: Tensor, start_layer: int = 0, rule: str = 'grad') -> Tensor:
    """Class map from the attention of the class token and the gradient of a class's logit (GETAM).

    As the official code of APC has it (``DPT/ACR.getam``). With g the gradient of the attention a
    of one layer, cut at 0 from below, and the mean over heads, per layer:

    ============== ====================================
    ``grad``       ``mean relu(g)``
    ``grad_s``     ``(mean relu(g))^2``
    ``cam_grad``   ``mean relu(g a)``
    ``cam_grad_s`` ``mean relu(g a) * mean relu(g)``
    ============== ====================================

    The class token's row is taken, and layers from ``start_layer`` on are added up.

    Args:
        attention, gradient: ``(L, B, heads, T, T)``, the class token first, rows are queries.
        start_layer: From 0 to L - 1.
        rule: One of the above.

    Returns:
        ``(B, T - 1)``, not negative.

    Raises:
        ValueError: Unknown rule, or no layer is left.
    """
    if rule not in GETAM_RULES:
        raise ValueError(f'rule={rule!r} is not one of {GETAM_RULES}')
    if not 0 <= start_layer < len(attention):
        raise ValueError(f'start_layer={start_layer} is not in 0..{len(attention) - 1}')
    attention, gradient = (x[start_layer:, :, :, 0, 1:] for x in (attention, gradient))
    slope = gradient.relu()
    if rule == 'grad':
        layers = slope.mean(dim=2)
    elif rule == 'grad_s':
        layers = slope.mean(dim=2).square()
    else:
        layers = (gradient * attention).relu().mean(dim=2)
    if rule == 'cam_grad_s':
        layers = layers * slope.mean(dim=2)
    return torch.relu(layers.sum(dim=0))
