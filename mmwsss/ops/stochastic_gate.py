"""Random mixing of deep and shallow features (arXiv 2005.08104, section 3.3)."""

from torch import Tensor


def stochastic_gate(deep: Tensor, shallow: Tensor, rate: float, keep_deep: Tensor) -> Tensor:
    """Take every element from the deep or from the shallow features.

    ``k (D - rate S) / (1 - rate) + (1 - k) S``: with k from :func:`draw_gate` the expectation is
    D. Gradients reach both.

    Args:
        deep: D, ``(B, C, h, w)``.
        shallow: S, of the same shape.
        rate: Probability of the shallow element, in [0, 1).
        keep_deep: k, boolean, of the same shape.

    Returns:
        Of the same shape.
    """
    return ((deep - rate * shallow) / (1 - rate)).where(keep_deep, shallow)


def mean_gate(deep: Tensor, shallow: Tensor, rate: float) -> Tensor:
    """What a trained network sees: ``(1 - rate) D + rate S``."""
    return (1 - rate) * deep + rate * shallow


def draw_gate(like: Tensor, rate: float) -> Tensor:
    """Boolean tensor of the shape of ``like``, every element True with probability 1 - rate."""
    return like.new_empty(like.shape).bernoulli_(1 - rate).bool()
