"""Pairwise affinities between patches: from attention, from label maps, and their use."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..pairs import pair_slots
from ..threads import one_thread
from .cpu import label_near_pairs


@one_thread()
def mean_attention(attn: Tensor, last: int) -> Tensor:
    """Mean of the last maps.

    Args:
        attn: ``(n, B, N, N)``.
        last: Number of maps.

    Returns:
        ``(B, N, N)``.
    """
    return attn[-last:].mean(dim=0)


@one_thread()
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


@one_thread()
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


@one_thread()
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


AFFINITIES = ('dot', 'centred')


def predict_affinity(features: Tensor, kind: str = 'dot') -> Tensor:
    """Affinity of patches by their features.

    Args:
        features: ``(B, C, h, w)``.
        kind: ``'dot'``: ``sigmoid(F^T F)`` (WeCLIP, equation of A_f); ``'centred'``: the sigmoid of
            :func:`centred_similarity` (ExCEL).

    Returns:
        ``(B, h*w, h*w)`` in (0, 1).
    """
    if kind == 'centred':
        return centred_similarity(features).sigmoid()
    tokens = features.flatten(2)
    return (tokens.transpose(1, 2) @ tokens).sigmoid()


def centred_similarity(features: Tensor, gamma: float = 3.0) -> Tensor:
    """``gamma (u_i . u_j - mean)`` of unit features, the mean over the whole batch (ExCEL).

    Args:
        features: ``(B, C, h, w)``.

    Returns:
        ``(B, h*w, h*w)``.
    """
    unit = F.normalize(features.flatten(2), dim=1)
    similarity = unit.transpose(1, 2) @ unit
    return gamma * (similarity - similarity.mean())


@one_thread()
def radius_mask(grid: tuple[int, int], radius: int, device: torch.device | None = None) -> Tensor:
    """Pairs of cells at most ``radius`` apart in row and column.

    Returns:
        ``(h*w, h*w)`` bool.
    """
    h, w = grid

    def near(side: int) -> Tensor:
        index = torch.arange(side, device=device)
        return (index[:, None] - index).abs() <= radius

    mask = near(h)[:, None, :, None] & near(w)[None, :, None, :]  # (h, w, h, w)
    return mask.view(h * w, h * w)


@one_thread()
def affinity_label(label: Tensor, grid: tuple[int, int], radius: int | None) -> Tensor:
    """Affinity targets from a label map (AFA, section 3.3; used by WeCLIP).

    The label of a cell is that of its top-left pixel (nearest resize).

    Args:
        label: ``(B, H, W)`` integer, 255 ignored.
        grid: (h, w) of the cells.
        radius: Pairs further apart (Chebyshev) are ignored; None: no pair is.

    Returns:
        ``(B, N, N)`` uint8: 1 same class, 0 different, 255 elsewhere.
    """
    rows, columns = map(_nearest_index, label.shape[-2:], grid)
    cells = label[:, rows.to(label.device)[:, None], columns.to(label.device)].long()
    if label.device.type != 'cpu':
        return _tensor_label(cells, radius)
    count = grid[0] * grid[1]
    target = np.full((len(label), count, count), 255, np.uint8)
    reach = max(grid) if radius is None else radius
    label_near_pairs(cells.contiguous().numpy(), tuple(grid), reach, target)
    return torch.from_numpy(target)


def _nearest_index(old: int, new: int) -> Tensor:
    """Source index of each new cell, as in a nearest resize of PyTorch."""
    ramp = torch.arange(old, dtype=torch.float32)[None, None]
    return F.interpolate(ramp, size=new, mode='nearest')[0, 0].long()


def _tensor_label(cells: Tensor, radius: int | None) -> Tensor:
    """:func:`affinity_label` of cells ``(B, h, w)`` on any device."""
    grid, cells = tuple(cells.shape[1:]), cells.flatten(1)
    target = (cells[:, :, None] == cells[:, None, :]).view(torch.uint8)
    unknown = 255 * (cells == 255).view(torch.uint8)
    target |= unknown[:, :, None]  # 255 with any other bits is 255
    target |= unknown[:, None, :]
    if radius is not None:
        target |= 255 * (~radius_mask(grid, radius, cells.device)).view(torch.uint8)
    return target


@one_thread()
def random_walk_step(
    scores: Tensor,
    affinity: Tensor,
    radius: int | None = None,
    power: int = 2,
    eps: float = 0.1,
) -> Tensor:
    """One step of a random walk over the cells (AFA, section 3.3).

    ``P'_j = sum_i P_i T_ij`` with ``T = (A * M) ** power`` (elementwise), its columns divided by
    their sums + ``eps``; M are the pairs within the radius.

    Args:
        scores: ``(B, M, h, w)``; the channels are independent.
        affinity: ``(B, h*w, h*w)`` in [0, 1].
        radius: See :func:`radius_mask`; None for no limit.
        eps: 0.1 with a background channel, 1e-4 in AFA's variant without.

    Returns:
        ``(B, M, h, w)``.
    """
    grid = scores.shape[-2:]
    if radius is not None:
        affinity = affinity * radius_mask(grid, radius, affinity.device)
    walk = affinity**power
    walk = walk / (walk.sum(dim=1, keepdim=True) + eps)
    return (scores.flatten(2) @ walk).unflatten(2, grid)
