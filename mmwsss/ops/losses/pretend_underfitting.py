"""PMM's loss of pixels that are taken for label noise."""

import torch
from torch import Tensor

KINDS = ('clamp', 'pow', 'ignore')


def pretend_underfitting(
    loss: Tensor, kind: str = 'clamp', beta: float = 0.5, k: float = 0.5, mean: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Treat large losses of pixels as noise once the loss as a whole is small (PUF).

    Li et al., ICCV 2021, arXiv 2108.12995; official code: Eli-YiLi/WSSS_MMSeg,
    ``mmseg/models/losses/cross_entropy_loss.py`` (``pus_type``, ``pus_beta``, ``pus_k``). The gate
    is ``mean(loss) < beta``, over all pixels, also those without a label, whose loss is 0. If it is
    open: ``clamp`` min(l, k), so that pixels above k have no gradient; ``pow`` (l + 1e-9) ** k;
    ``ignore`` l where l <= k, else 0.

    Args:
        loss: Losses of pixels ``(B, H, W)``, not negative.
        kind: One of the above.
        beta: Of the gate, >= 0; 0 never opens it.
        k: Bound or exponent.
        mean: What the gate looks at; None: the mean of ``loss``.

    Returns:
        The losses, whether the gate is open (bool), and the share of pixels above k if it is, else
        0; the latter two are scalars without gradient.

    Raises:
        ValueError: Unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f'kind={kind!r} is not one of {KINDS}')
    mean = loss.detach().mean() if mean is None else mean
    gate = mean < beta
    share = ((loss.detach() > k) & gate).float().mean()
    if kind == 'clamp':
        changed = loss.clamp(max=k)
    elif kind == 'pow':
        changed = (loss + 1e-9) ** k
    else:
        changed = loss * (loss <= k)
    return torch.where(gate, changed, loss), gate, share
