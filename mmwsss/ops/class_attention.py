"""Maps and affinities from the attention of a transformer with one class token per class."""

import torch
from torch import Tensor

from .threads import one_thread

FUSIONS = ('product', 'sqrt', 'class', 'patch')
REFINEMENTS = ('rows', 'columns', 'class')


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

    def add(self, attention: Tensor, share: float, with_classes: bool) -> None:
        """Add ``share`` times an attention.

        Args:
            attention: Behind its softmax, ``(B, T, T)``, rows are queries.
            share: 1 / number of heads for each head.
            with_classes: Whether the layer counts for ``class_patch``.
        """
        first = self.num_classes
        patch = attention[:, first:, first:]
        if self.patch is None:
            self.patch = torch.zeros(patch.shape, device=patch.device)
            self.class_patch = torch.zeros(len(patch), first, patch.shape[2], device=patch.device)
        self.patch.add_(patch, alpha=share)
        if with_classes:
            self.class_patch.add_(attention[:, :first, first:], alpha=share)


def attend_and_sum(
    query: Tensor, key: Tensor, value: Tensor, sums: AttentionSums, with_classes: bool
) -> Tensor:
    """Self-attention ``softmax(Q K^T / sqrt(d)) V``, whose mean over heads is added to ``sums``.

    One head at a time, so that a single ``(B, T, T)`` attention is in memory.

    Args:
        query, key, value: ``(B, heads, T, d)``.
        sums: See :meth:`AttentionSums.add`.
        with_classes: The same.

    Returns:
        ``(B, heads, T, d)``.
    """
    out = torch.empty_like(value)
    heads, scale = query.shape[1], query.shape[-1] ** -0.5
    for head in range(heads):
        logits = (query[:, head] * scale) @ key[:, head].transpose(-2, -1)
        attention = logits.softmax(dim=-1)
        sums.add(attention, 1 / heads, with_classes)
        out[:, head] = attention @ value[:, head]
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
