"""Cross-entropy that pretends to underfit."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmwsss.ops.losses.pretend_underfitting import KINDS, pretend_underfitting
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import FLAG, POSITIVE, TEXT, WEIGHT, checked, one_of


@MODELS.register_module()
@checked(
    kind=one_of(*KINDS),
    beta=WEIGHT,
    k=POSITIVE,
    sync_gate=FLAG,
    loss_weight=WEIGHT,
    reduction=one_of('mean', 'none'),
    loss_name=TEXT,
)
class PUFCrossEntropyLoss(nn.Module):
    """Pretended underfitting: see :mod:`mmwsss.ops.losses.pretend_underfitting`.

    It can be the ``loss_decode`` of any head of MMSegmentation, and every head has a gate of its
    own: there is no warm-up, the gate is it. The loss is a mean over **all** pixels, also those
    without a label, unlike that of other configs here (``avg_non_ignore``). ``<name>_gate`` (0 or
    1) and ``<name>_capped`` (share of pixels above k while the gate is open) are logged, where the
    name is ``loss_name`` without ``loss_``: give the heads different ones.

    Args:
        kind: ``'clamp'`` (PMM), ``'pow'``, ``'ignore'``; None: plain cross-entropy.
        beta: The gate opens when the mean loss falls below it; 0.5 on VOC, 0.8 on COCO.
        k: Bound, or exponent of ``'pow'``.
        sync_gate: All processes share one gate, on the mean of their means. As published, each has
            its own.
        loss_weight: Factor; the gate looks at the loss without it.
        reduction: ``'mean'``, or ``'none'`` for the losses of the pixels.
        loss_name: Key of the loss in a head of MMSegmentation; begins with ``loss_``.

    Raises:
        ValueError: A value that is none of the choices, or out of range.
    """

    def __init__(
        self,
        kind: str | None = 'clamp',
        beta: float = 0.5,
        k: float = 0.5,
        sync_gate: bool = False,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        loss_name: str = 'loss_puf',
    ) -> None:
        super().__init__()
        if not loss_name.startswith('loss_'):
            raise ValueError(f"loss_name must begin with 'loss_', got {loss_name!r}")
        self.kind, self.beta, self.k, self.sync_gate = kind, beta, k, sync_gate
        self.loss_weight, self.reduction, self.loss_name = loss_weight, reduction, loss_name

    def forward(
        self,
        seg_logits: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """``(B, C, H, W)`` logits against ``(B, H, W)`` int64 labels.

        ``weight`` ``(B, H, W)`` are MMSegmentation's pixel weights; the gate does not see them.
        """
        loss = F.cross_entropy(seg_logits, label, ignore_index=ignore_index, reduction='none')
        if self.kind is not None:
            mean = loss.detach().mean()
            if self.sync_gate:
                all_reduce(mean, 'mean')
            loss, gate, capped = pretend_underfitting(loss, self.kind, self.beta, self.k, mean)
            self._log(gate, capped)
        if weight is not None:
            loss = loss * weight.to(loss)
        return self.loss_weight * (loss.mean() if self.reduction == 'mean' else loss)

    def _log(self, gate: Tensor, capped: Tensor) -> None:
        if not torch.is_grad_enabled():
            return
        log, name = MessageHub.get_current_instance(), self.loss_name.removeprefix('loss_')
        log.update_scalar(f'train/{name}_gate', gate.float())
        log.update_scalar(f'train/{name}_capped', capped)
