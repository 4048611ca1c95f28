"""Maps and affinities from the attention of a transformer with one class token per class."""

import torch
from torch import Tensor

from .threads import one_thread

FUSIONS = ('product', 'sqrt', 'class', 'patch')
REFINEMENTS = ('rows', 'columns', 'class')
_TOGETHER = 2**21  # numbers of an attention that are computed together, for each image


class AttentionSums:
    """Sums over layers of the attention's mean over heads, of which no layer is kept.

    With ``a^l`` the mean over the heads of layer l's attention, T = C + N tokens, class tokens
    first (MCTformer, arXiv 2203.02891, sections 3.2 and 3.4):

    - ``class_patch``: ``sum_l a^l[:C, C:]`` over the layers that are added with it;
    - ``patch``: ``sum_l a^l[C:, C:]`` over all layers. Rows do not add up to the number of
      layers: the columns of the class tokens are left out, nothing is renormalised.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.class_patch: Tensor | None = None
        self.patch: Tensor | None = None

    def add(self, attention: Tensor, share: float, with_classes: bool, start: int = 0) -> None:
        """Add ``share`` times an attention, or some of its rows.

        Args:
            attention: Behind its softmax, ``(B, rows, T)``, rows are queries.
            share: 1 / number of heads for each head, or for the sum over heads.
            with_classes: Whether the layer counts for ``class_patch``.
            start: The first of the rows.
        """
        first, rows = self.num_classes, attention.shape[1]
        columns = attention[..., first:]
        if self.patch is None:
            batch, _, number = columns.shape
            self.patch = torch.zeros(batch, number, number, device=columns.device)
            self.class_patch = torch.zeros(batch, first, number, device=columns.device)
        classes = min(max(first - start, 0), rows)
        if with_classes:
            part = self.class_patch[:, start : start + classes]
            part.add_(columns[:, :classes], alpha=share)
        begin = start + classes - first
        part = self.patch[:, begin : begin + rows - classes]
        part.add_(columns[:, classes:], alpha=share)


def attend_and_sum(
    query: Tensor, key: Tensor, value: Tensor, sums: AttentionSums, with_classes: bool
) -> Tensor:
    """Self-attention ``softmax(Q K^T / sqrt(d)) V``, whose mean over heads is added to ``sums``.

    Some queries at a time: 8 MB of attention for each image are in memory, not heads x T x T.

    Args:
        query, key, value: ``(B, heads, T, d)``.
        sums: See :meth:`AttentionSums.add`.
        with_classes: The same.

    Returns:
        ``(B, heads, T, d)``.
    """
    query, key, value = (x.contiguous() for x in (query, key, value))
    out = torch.empty_like(value)
    heads, tokens, scale = query.shape[1], query.shape[2], query.shape[-1] ** -0.5
    rows = max(1, _TOGETHER // (heads * tokens))
    for start in range(0, tokens, rows):
        part = slice(start, start + rows)
        attention = (query[:, :, part] * scale @ key.mT).softmax(dim=-1)
        sums.add(attention.sum(dim=1), 1 / heads, with_classes, start)
        out[:, :, part] = attention @ value
    return out


@one_thread()
def fuse_maps(class_maps: Tensor, patch_maps: Tensor | None, rule: str, layers: int = 1) -> Tensor:
    """One map of each class from the attention of its token and from the patch classifier.

    With A the sum of the class attention over K layers and M the maps of the patch classifier:

    =========== ========================= =============
    rule        maps                      published as
    =========== ========================= =============
    ``class``   ``A``                     MCTformer V1
    ``patch``   ``relu(M)``               PatchCAM
    ``product`` ``A relu(M)``             MCTformer V2
    ``sqrt``    ``sqrt(A / K relu(M))``   MCTformer+
    =========== ========================= =============

    Args:
        class_maps: A, ``(B, C, h, w)``.
        patch_maps: M, the same; None for ``class``.
        rule: One of the above.
        layers: K.

    Returns:
        ``(B, C, h, w)``, not negative.

    Raises:
        ValueError: Unknown rule, or no patch maps for a rule that needs them.
    """
    if rule not in FUSIONS:
        raise ValueError(f'rule={rule!r} is not one of {FUSIONS}')
    if rule == 'class':
        return class_maps
    if patch_maps is None:
        raise ValueError(f'rule={rule!r} needs the maps of a patch classifier')
    if rule == 'patch':
        return patch_maps.relu()
    if rule == 'product':
        return class_maps * patch_maps.relu()
    return (class_maps / layers * patch_maps.relu()).sqrt()


def refine_by_attention(maps: Tensor, attention: Tensor, rule: str = 'rows') -> Tensor:
    """Class maps spread by the attention between patches, or weighed by that of the class token.

    With S the attention, summed over layers, and m a map:

    =========== ======================== ========================================
    rule        ``cam_i``                published as
    =========== ======================== ========================================
    ``rows``    ``sum_j S_ij m_j``       TransCAM (arXiv 2203.07239), MCTformer
    ``columns`` ``sum_j S_ji m_j``       TransCAM's ``attnagg``
    ``class``   ``S_i m_i``              TransCAM's ``clsattn``
    =========== ======================== ========================================

    Args:
        maps: m, ``(B, C, h, w)``.
        attention: S, ``(B, N, N)``, rows are queries; for ``class`` ``(B, 1, N)``.
        rule: One of the above.

    Returns:
        ``(B, C, h, w)`` in the dtype of the attention.

    Raises:
        ValueError: Unknown rule.
    """
    if rule not in REFINEMENTS:
        raise ValueError(f'rule={rule!r} is not one of {REFINEMENTS}')
    columns = maps.flatten(2).to(attention)
    if rule == 'class':
        refined = columns * attention
    else:
        refined = columns @ (attention.mT if rule == 'rows' else attention)
    return refined.unflatten(2, maps.shape[-2:])
