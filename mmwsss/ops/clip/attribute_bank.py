"""Attributes of classes from descriptions.

Text semantic enrichment (TSE) of ExCEL, arXiv 2503.20826; official code: zwyang6/ExCEL,
model/load_attr.py.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import ClusterError, kmeans, kmeans2, vq
from torch import Tensor

_TRIES = 10


def cluster_attributes(
    embeddings: Tensor, counts: Sequence[int], num_attributes: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Centres of the descriptions of all classes: the attribute bank.

    K-means with spread-out starting points on the unit embeddings, the best of ten tries. The
    centres are not unit vectors.

    Args:
        embeddings: ``(n, D)``, the descriptions class by class.
        counts: Descriptions of each class; their sum is n.
        num_attributes: K, at most the number of different descriptions.
        seed: Of the starting points.

    Returns:
        The bank ``(D, K)``, and which classes have a description in a cluster, bool ``(C, K)``.

    Raises:
        ValueError: ``counts`` do not fit, or there are fewer different descriptions than K.
    """
    if sum(counts) != len(embeddings):
        raise ValueError(f'{len(embeddings)} embeddings for {sum(counts)} descriptions')
    points = F.normalize(embeddings.cpu().double(), dim=-1).numpy()
    different = len(np.unique(points, axis=0))
    if not 1 <= num_attributes <= different:
        raise ValueError(
            f'{num_attributes} attributes cannot be made of {different} different descriptions: '
            'give more descriptions, or ask for fewer attributes'
        )
    generator = np.random.default_rng(seed)
    tries = (_cluster(points, num_attributes, generator) for _ in range(_TRIES))
    centres = min((found for found in tries if found), key=lambda found: found[1])[0]
    nearest, _ = vq(points, centres)
    flags = torch.zeros(len(counts), num_attributes, dtype=torch.bool)
    flags[np.repeat(np.arange(len(counts)), counts), nearest] = True
    return torch.from_numpy(centres.T).float(), flags


def _cluster(
    points: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, float] | None:
    """Centres of one try and their distortion; None if a cluster became empty."""
    try:
        start, _ = kmeans2(points, count, iter=1, minit='++', missing='raise', rng=generator)
    except ClusterError:
        return None
    centres, distortion = kmeans(points, start, thresh=1e-7)
    return (centres, distortion) if len(centres) == count else None


def enrich_text(text: Tensor, bank: Tensor, num_foreground: int, top: float = 0.9) -> Tensor:
    """Add to each class text the attributes that suit it.

    ``t' = t + sum_k softmax_k(t . b_k) b_k`` over the ``top`` share of the attributes with the
    largest similarity; background texts stay as they are. (The paper's top-K and factor are 90 %
    and 1 in the official code.)

    Args:
        text: Unit embeddings ``(T, D)``, foreground classes first.
        bank: ``(D, K)``.
        num_foreground: C.
        top: Share of the attributes that are used.

    Returns:
        Unit embeddings ``(T, D)``.
    """
    foreground = text[:num_foreground]
    similarity = foreground @ bank
    cut = int((1 - top) * bank.shape[1])
    if cut:
        smallest = similarity.topk(cut, dim=-1, largest=False).indices
        similarity = similarity.scatter(-1, smallest, -torch.inf)
    enriched = foreground + similarity.softmax(dim=-1) @ bank.T
    return F.normalize(torch.cat([enriched, text[num_foreground:]]), dim=-1)
