"""Pairwise affinities between patches: from attention, from label maps, and their use."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .pairs import pair_slots


def mean_attention(attn: Tensor, last: int) -> Tensor:
    """Mean of the last maps.

    Args:
        attn: ``(n, B, N, N)``.
        last: Number of maps.

    Returns:
        ``(B, N, N)``.
    """
    return attn[-last:].mean(dim=0)


def gated_attention(attn: Tensor, affinity: Tensor, last: int) -> Tensor:
    """Attention of the trustworthy layers, gated by the predicted affinity (WeCLIP, RFM).

    The method keeps the maps whose total difference to the affinity is at most the mean
    difference; the affinity cancels in that comparison, so a map is kept if its mass
    is at least the mean mass. ``M = affinity * sum(kept) / (count + 1e-5)``.

    Args:
        attn: ``(n, B, N, N)``.
        affinity: Predicted affinity ``(B, N, N)`` in [0, 1].
        last: Number of maps to choose from.

    Returns:
        ``(B, N, N)``.
    """
    attn = attn[-last:]
    mass = attn.double().sum(dim=(-2, -1))  # (n, B)
    keep = (mass >= mass.mean(dim=0)).to(attn.dtype)
    chosen = torch.einsum('lb,lbij->bij', keep, attn)
    return affinity * chosen / (keep.sum(dim=0)[:, None, None] + 1e-5)


def sinkhorn_symmetric(matrix: Tensor, iterations: int = 3) -> Tensor:
    """Make an affinity nearly doubly stochastic and symmetric (CLIP-ES, equations 6 and 7).

    Every iteration divides columns by their sums, then rows by theirs; the result is averaged
    with its transpose.

    Args:
        matrix: ``(B, N, N)``, positive.

    Returns:
        ``(B, N, N)`` float32.
    """
    matrix = matrix.float()
    for _ in range(iterations):
        matrix = matrix / matrix.sum(dim=-2, keepdim=True)
        matrix = matrix / matrix.sum(dim=-1, keepdim=True)
    return (matrix + matrix.transpose(-1, -2)) / 2


def propagate(affinity: Tensor, cam: Tensor, image_index: Tensor, power: int = 2) -> Tensor:
    """``affinity ** power @ cam`` for every (image, class) pair, never forming the power.

    Args:
        affinity: ``(B, N, N)``.
        cam: ``(P, N)``.
        image_index: ``(P,)`` image of each pair, ascending.

    Returns:
        ``(P, N)``.
    """
    if cam.shape[0] == 0:
        return cam
    slot = pair_slots(image_index)
    columns = cam.new_zeros(affinity.shape[0], cam.shape[1], int(slot.max()) + 1)
    columns[image_index, :, slot] = cam
    for _ in range(power):
        columns = affinity @ columns
    return columns[image_index, :, slot]


def predict_affinity(features: Tensor) -> Tensor:
    """``sigmoid(F^T F)`` of a feature map (WeCLIP, equation of A_f).

    Args:
        features: ``(B, C, h, w)``.

    Returns:
        ``(B, h*w, h*w)`` in (0, 1).
    """
    tokens = features.flatten(2)
    return (tokens.transpose(1, 2) @ tokens).sigmoid()


def radius_mask(grid: tuple[int, int], radius: int, device: torch.device | None = None) -> Tensor:
    """Pairs of cells at most ``radius`` apart in row and column.

    Returns:
        ``(h*w, h*w)`` bool.
    """
    h, w = grid
    row = torch.arange(h, device=device).repeat_interleave(w)
    col = torch.arange(w, device=device).repeat(h)
    near_row = (row[:, None] - row[None]).abs() <= radius
    return near_row & ((col[:, None] - col[None]).abs() <= radius)


def affinity_label(
    label: Tensor, grid: tuple[int, int], radius: int, ignore_index: int = 255
) -> Tensor:
    """Affinity targets from a label map (AFA, section 3.3; used by WeCLIP).

    The label of a cell is that of its top-left pixel (nearest resize).

    Args:
        label: ``(B, H, W)`` integer.
        grid: (h, w) of the cells.
        radius: Pairs further apart (Chebyshev) are ignored.

    Returns:
        ``(B, N, N)`` int64: 1 same class, 0 different, ``ignore_index`` elsewhere.
    """
    cells = F.interpolate(label[:, None].float(), size=grid, mode='nearest').flatten(1)
    same = (cells[:, :, None] == cells[:, None, :]).long()
    known = cells != ignore_index
    valid = known[:, :, None] & known[:, None, :] & radius_mask(grid, radius, label.device)
    return same.masked_fill(~valid, ignore_index)
