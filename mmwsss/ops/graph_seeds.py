"""Seeds that grow by graph cuts over pixels with similar features (DGCN, WeakCLIP's long form)."""

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

_UNIT = 1_000_000  # capacities are whole numbers here
_CUE = 10


@torch.no_grad()
def knn_graph(features: Tensor, k: int = 10) -> Tensor:
    """Nearest neighbours of every pixel by squared distance.

    Args:
        features: ``(B, C, h, w)``.
        k: Neighbours, the pixel itself counted; ties with the last are kept.

    Returns:
        ``(B, h*w, h*w)`` float32: row i marks the neighbours of i, the diagonal is lowered by 1.
    """
    x = features.flatten(2).transpose(1, 2)
    norm = (x**2).sum(dim=2, keepdim=True)
    distance = (norm + norm.transpose(1, 2) - 2 * x @ x.transpose(1, 2)).abs()
    last = distance.topk(k, dim=2, largest=False).values[..., -1:]
    return (distance <= last).float() - torch.eye(x.shape[1], device=x.device)


@torch.no_grad()
def cut_seeds(prob: Tensor, cues: Tensor, neighbours: Tensor, threshold: float = 0.7) -> Tensor:
    """Seeds of the classes of an image by one minimum cut each.

    A pixel is bound to a class by its seed (10), to the others by a seed of these, without a seed
    by ``-log10(1 - p)`` and ``-log10 p``; neighbours are bound by 1 each way they are neighbours.
    Where p exceeds the threshold, the side of the cut takes the place of the seed.

    Args:
        prob: ``(B, C, h, w)``.
        cues: ``(B, C, h, w)`` of 0 and 1; classes without a seed are left alone.
        neighbours: See :func:`knn_graph`.
        threshold: Of p.

    Returns:
        Like ``cues``.
    """
    size = prob.shape[-2:]
    out = cues.clone()
    for image in range(len(prob)):
        given = cues[image].flatten(1) > 0
        seeded = given.any(dim=0).cpu().numpy()
        edges = csr_array(neighbours[image].cpu().numpy() == 1).astype(np.int64)
        edges = (edges + edges.T) * _UNIT
        for c in given.any(dim=1).nonzero().flatten().tolist():
            inside = _cut(prob[image, c].flatten().double().cpu().numpy(), given[c].cpu().numpy(),
                          seeded, edges)  # fmt: skip
            sure = prob[image, c] > threshold
            side = torch.from_numpy(inside).view(size).to(out)
            out[image, c] = torch.where(sure, side, out[image, c])
    return out


def _cut(prob: np.ndarray, own: np.ndarray, seeded: np.ndarray, edges: csr_array) -> np.ndarray:
    """Whether pixels ``(n,)`` fall to the class: the sink is within their reach when it is full."""
    n = len(prob)
    source, sink = n, n + 1
    prob = prob.clip(1e-12, 1 - 1e-12)
    from_source = np.where(own, 0, np.where(seeded, _CUE, -np.log10(prob)))
    to_sink = np.where(own, _CUE, np.where(seeded, 0, -np.log10(1 - prob)))
    pixels = np.arange(n)
    rows = np.concatenate([np.full(n, source), pixels])
    columns = np.concatenate([pixels, np.full(n, sink)])
    values = np.concatenate([from_source, to_sink])
    terminals = coo_array(((values * _UNIT).round(), (rows, columns)), shape=(n + 2, n + 2))
    inner = edges.tocoo()
    inner = coo_array((inner.data, inner.coords), shape=(n + 2, n + 2))
    capacity = csr_array(terminals.tocsr() + inner.tocsr()).astype(np.int32)
    rest = capacity - maximum_flow(capacity, source, sink).flow
    rest.data[rest.data < 0] = 0
    rest.eliminate_zeros()
    reach = breadth_first_order(csr_array(rest.T), sink, return_predecessors=False)
    return np.isin(pixels, reach)
