"""Affinity vectors: rows of a transformer's attention between patches, and losses that make them
agree (TransCAM's relatives AVC and APC).

The terms of AVC are a *reconstruction*: its training code and paper are not public.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

VIEW_MODES = ('cosine', 'l1', 'kl')
_EPS = 1e-8


def affinity_vectors(affinity: Tensor, symmetric: bool = True, row_norm: bool = True) -> Tensor:
    """Affinity vectors of the patches, the rows of the result.

    Args:
        affinity: ``(..., N, N)``, not negative, rows are queries: the attention between patches,
            mean over heads and layers, without the other tokens.
        symmetric: ``A <- (A + A^T) / 2``.
        row_norm: Afterwards ``A_ij <- A_ij / (sum_j A_ij + 1e-8)``.

    Returns:
        ``(..., N, N)``.
    """
    if symmetric:
        affinity = (affinity + affinity.mT) / 2
    if row_norm:
        affinity = affinity / (affinity.sum(dim=-1, keepdim=True) + _EPS)
    return affinity


def mirrored_cells(grid: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Where each cell of a grid comes from if the image is mirrored.

    Args:
        grid: (h, w).

    Returns:
        ``(h * w,)`` int64; a permutation that is its own inverse.
    """
    height, width = grid
    cells = torch.arange(height * width, device=device).view(height, width)
    return cells.flip(-1).flatten()


def mirror_affinity(affinity: Tensor, grid: tuple[int, int]) -> Tensor:
    """Affinity of the mirror image, at the cells of the image: rows and columns are swapped.

    Args:
        affinity: ``(..., h * w, h * w)``.
        grid: (h, w).
    """
    cells = mirrored_cells(grid, affinity.device)
    return affinity[..., cells[:, None], cells]


def view_consistency(first: Tensor, second: Tensor, mode: str = 'cosine') -> Tensor:
    """How much the affinity vectors of two views differ (AVC's first term, a reconstruction).

    ============ ==========================================================================
    ``cosine``   mean over rows of ``1 - cos(a_i, b_i)``
    ``l1``       mean of ``|A - B|`` (the term of APC, arXiv 2308.04321)
    ``kl``       mean over rows of ``(KL(p||q) + KL(q||p)) / 2``, p and q the rows + 1e-8 that
                 are made to add up to 1
    ============ ==========================================================================

    Args:
        first, second: Affinity vectors ``(..., N, N)`` at the same cells (:func:`mirror_affinity`).
        mode: One of the above.

    Returns:
        Scalar, not negative.

    Raises:
        ValueError: Unknown mode.
    """
    if mode == 'cosine':
        return (1 - F.cosine_similarity(first, second, dim=-1, eps=_EPS)).mean()
    if mode == 'l1':
        return (first - second).abs().mean()
    if mode != 'kl':
        raise ValueError(f'mode={mode!r} is not one of {VIEW_MODES}')
    p, q = ((rows + _EPS) / (rows + _EPS).sum(dim=-1, keepdim=True) for rows in (first, second))
    return ((p - q) * (p.log() - q.log())).sum(dim=-1).mean() / 2


@torch.no_grad()
def region_labels(
    cams: Tensor, image_labels: Tensor, foreground: float = 0.6, background: float = 0.25
) -> Tensor:
    """Region of each cell by the class maps (for AVC's second term, a reconstruction).

    Each map is brought to [0, 1] behind a relu: ``(R - min) / (max - min + 1e-5)``.

    Args:
        cams: Maps ``(B, C, h, w)`` of either sign.
        image_labels: Multi-hot ``(B, C)``; other classes count as 0.
        foreground: A cell whose best map is above it has this class, counted from 1.
        background: A cell whose best map is below it is background, 0. Others are 255.

    Returns:
        ``(B, h * w)`` int64.
    """
    cams = cams.flatten(2).relu()
    low, high = cams.amin(dim=-1, keepdim=True), cams.amax(dim=-1, keepdim=True)
    scaled = (cams - low) / (high - low + 1e-5) * image_labels[..., None]
    best, place = scaled.max(dim=1)
    regions = torch.full_like(place, 255)
    regions[best < background] = 0
    return torch.where(best > foreground, place + 1, regions)


def region_consistency(
    vectors: Tensor, regions: Tensor, background: bool = True
) -> tuple[Tensor, Tensor]:
    """Affinity vectors of one region shall agree, those of two be orthogonal (AVC, reconstruction).

    With P+ the ordered pairs ``i != j`` of cells of one image that have the same region, P- those
    that have different ones, both over the whole batch:
    ``sum_P+ (1 - cos(a_i, a_j)) / (|P+| + 1)`` and ``sum_P- cos(a_i, a_j) / (|P-| + 1)``.

    No cosine of a single pair is computed: with ``z_i = a_i / |a_i|`` those of a region add up to
    ``|sum_i z_i|^2``.

    Args:
        vectors: Affinity vectors ``(B, N, D)``.
        regions: ``(B, N)`` in 0..254, 255 for none (:func:`region_labels`).
        background: Cells of region 0 are a region; otherwise they are left out.

    Returns:
        Two scalars. Without a pair a term is 0.
    """
    known = regions != 255
    if not background:
        known = known & (regions != 0)
    present = regions[known].unique()
    member = (regions[..., None] == present).to(vectors) * known[..., None].to(vectors)
    unit = F.normalize(vectors, dim=-1, eps=_EPS**0.5)
    sums = member.mT @ unit  # (B, regions, D)
    same = sums.square().sum() - (unit.square().sum(-1) * known).sum()
    different = sums.sum(1).square().sum() - sums.square().sum()
    sizes = member.sum(1)
    positive = (sizes * (sizes - 1)).sum()
    negative = sizes.sum(-1).square().sum() - sizes.square().sum()
    return (positive - same) / (positive + 1), different / (negative + 1)
