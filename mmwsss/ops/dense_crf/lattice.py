"""Mean field of a fully connected CRF by tensor operations, on any device.

High-dimensional Gaussian filtering on the permutohedral lattice (Adams et al., Eurographics 2010)
with the symmetric normalisation of Kraehenbuehl and Koltun's code.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .grid import key_grid


class PermutohedralLattice:
    """Gaussian filter ``n * K (n * values)``, ``n = (K 1 + 1e-20) ** -1/2`` or 1.

    Args:
        features: ``(P, d)`` float32 >= 0, coordinates in standard deviations.
        group: ``(P,)`` int64; points of different groups do not see each other. None: one group.
        normalise: Whether n is not 1.

    Raises:
        ValueError: The features span too many standard deviations to number the vertices.
    """

    def __init__(
        self, features: Tensor, group: Tensor | None = None, normalise: bool = True
    ) -> None:
        d = features.shape[1]
        groups = 1 if group is None else int(group.max()) + 1
        grid = key_grid(features.amax(dim=0).cpu().numpy(), groups)
        strides, low = (torch.from_numpy(x).to(features.device) for x in (grid.strides, grid.low))
        nearest, rank, self._weight = _simplex(features, torch.from_numpy(grid.scale))
        keys = ((nearest[:, :d].long() - low) * strides).sum(dim=1)
        if group is not None:
            keys = keys + group * grid.size
        corner = torch.arange(d + 1, device=features.device)
        below = rank[:, None, :d] <= d - corner[:, None]
        offsets = torch.where(below, corner[:, None], corner[:, None] - d - 1)
        keys = keys[:, None] + (offsets * strides).sum(dim=-1)  # (P, d + 1)
        vertices, self._index = torch.unique(keys, return_inverse=True)
        self._links = torch.stack(
            [_find(vertices, vertices + sign * int(s)) for s in grid.steps for sign in (-1, 1)]
        ).unflatten(0, (d + 1, 2))
        if normalise:
            norm = self.filter(torch.ones_like(features[:, :1]))
            self._weight = self._weight / (norm + 1e-20).sqrt()

    def filter(self, values: Tensor) -> Tensor:
        """``(P, C)`` -> ``(P, C)``."""
        size, corners = self._links.shape[-1], self._index.shape[1]
        vertex = values.new_zeros(size + 1, values.shape[1])  # the last one is always 0
        for k in range(corners):
            vertex.index_add_(0, self._index[:, k], self._weight[:, k, None] * values)
        for before, after in self._links:
            vertex[:size] += 0.5 * (vertex[before] + vertex[after])
        out = torch.zeros_like(values)
        for k in range(corners):
            out += self._weight[:, k, None] * vertex[self._index[:, k]]
        return out / (1 + 2.0 ** (1 - corners))


def _simplex(features: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest lattice point, rank of its axes, barycentric weights; each ``(P, d + 1)``."""
    count, d = features.shape
    scaled = features * scale.to(features)
    elevated, tail = [], torch.zeros_like(scaled[:, 0])
    for i in range(d - 1, -1, -1):
        elevated.append(tail - (i + 1) * scaled[:, i])
        tail = tail + scaled[:, i]
    elevated = torch.stack([tail, *elevated[::-1]], dim=1)
    rounded = (elevated * np.float32(1 / (d + 1))).round()
    nearest = rounded * (d + 1)
    rest = elevated - nearest
    # rank: how many axes have a larger rest; of equal ones the first counts as larger
    smaller = rest[:, :, None] < rest[:, None, :]
    equal_before = torch.ones(d + 1, d + 1, dtype=torch.bool, device=features.device).tril(-1)
    rank = (smaller | ((rest[:, :, None] == rest[:, None, :]) & equal_before)).sum(dim=2)
    rank = rank + rounded.sum(dim=1, keepdim=True).long()
    back = (d + 1) * ((rank < 0).long() - (rank > d).long())
    rank, nearest = rank + back, nearest + back
    share = (elevated - nearest) * np.float32(1 / (d + 1))
    weight = features.new_zeros(count, d + 2)
    weight.scatter_add_(1, d - rank, share)
    weight.scatter_add_(1, d + 1 - rank, -share)
    weight[:, 0] += 1 + weight[:, d + 1]
    return nearest, rank, weight[:, : d + 1]


def _find(vertices: Tensor, keys: Tensor) -> Tensor:
    """Positions of keys among the sorted vertices; their number for those that are missing."""
    place = torch.searchsorted(vertices, keys).clamp_(max=len(vertices) - 1)
    return torch.where(vertices[place] == keys, place, len(vertices))


class TorchMeanField:
    """Both lattices of images of one size, for any number of unaries.

    Args:
        images: ``(B, H, W, 3)`` uint8.
        gaussian: (sxy, compat).
        bilateral: (sxy, srgb, compat).
    """

    def __init__(
        self,
        images: Tensor,
        gaussian: tuple[float, float],
        bilateral: tuple[float, float, float],
    ) -> None:
        batch, height, width = images.shape[:3]
        y = torch.arange(height, device=images.device).repeat_interleave(width)
        x = torch.arange(width, device=images.device).repeat(height)
        position = torch.stack([x, y], dim=1).float()
        colour = images.reshape(-1, 3).float() / np.float32(bilateral[1])
        far = torch.cat([(position / np.float32(bilateral[0])).repeat(batch, 1), colour], dim=1)
        group = torch.arange(batch, device=images.device).repeat_interleave(len(position))
        self.near = PermutohedralLattice(position / np.float32(gaussian[0]))
        self.far = PermutohedralLattice(far, group)
        self.compat = gaussian[1], bilateral[2]

    def infer(self, unary: Tensor, iterations: int, copies: Tensor) -> Tensor:
        """Unary energies ``(B, K, C, N)`` of K problems and copies ``(C,)`` -> posterior."""
        copies = copies.to(unary)[:, None]

        def softmax(scores: Tensor) -> Tensor:
            return (scores + copies.log()).softmax(dim=2) / copies

        prob = softmax(-unary)
        for _ in range(iterations):
            near = self.near.filter(prob.flatten(0, 2).T).T.reshape(unary.shape)
            far = self.far.filter(prob.flatten(1, 2).transpose(1, 2).flatten(0, 1))
            far = far.unflatten(0, (unary.shape[0], -1)).transpose(1, 2).reshape(unary.shape)
            prob = softmax(self.compat[0] * near + self.compat[1] * far - unary)
        return prob

    def infer_pairs(self, difference: Tensor, iterations: int) -> Tensor:
        """See :meth:`mmwsss.ops.dense_crf.lattice_cpu.CPUMeanField.infer_pairs`; of one image."""
        state = (-difference / 2).tanh()
        for _ in range(iterations):
            near, far = (lattice.filter(state.T).T for lattice in (self.near, self.far))
            state = ((self.compat[0] * near + self.compat[1] * far - difference) / 2).tanh()
        return state
