"""Cross-entropy balanced between background and foreground."""

from torch import Tensor, nn

from mmwsss.ops.losses import balanced_cross_entropy, image_balanced_cross_entropy
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import FLAG, TEXT, WEIGHT, checked, number, one_of


@MODELS.register_module()
@checked(
    loss_weight=WEIGHT,
    official_nan=FLAG,
    mode=one_of('batch', 'image'),
    smoothing=number(0, 1, open_high=True),
    loss_name=TEXT,
)
class BalancedCrossEntropy(nn.Module):
    """Background and foreground pixels get the same weight, however many there are.

    It can be the ``loss_decode`` of any head of MMSegmentation.

    Args:
        loss_weight: Factor.
        official_nan: NaN, not 0, for a part without pixels (``'batch'`` only).
        mode: ``'batch'`` counts the pixels of the whole batch (AFA, WeCLIP, AMN;
            :func:`mmwsss.ops.losses.balanced_cross_entropy`), ``'image'`` those of each image
            (DSRG; :func:`mmwsss.ops.losses.image_balanced_cross_entropy`).
        smoothing: Share of the target that the other classes get (``'batch'`` only).
        loss_name: Key of the loss in a head of MMSegmentation; begins with ``loss_``.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        official_nan: bool = False,
        mode: str = 'batch',
        smoothing: float = 0.0,
        loss_name: str = 'loss_bce',
    ) -> None:
        super().__init__()
        if mode == 'image' and (official_nan or smoothing):
            raise ValueError("official_nan and smoothing are for mode='batch'")
        self.loss_weight = loss_weight
        self.official_nan = official_nan
        self.mode = mode
        self.smoothing = smoothing
        self.loss_name = loss_name

    def forward(
        self,
        seg_logits: Tensor,
        label: Tensor,
        ignore_index: int = 255,
        weight: Tensor | None = None,
    ) -> Tensor:
        """``(B, C, H, W)`` logits against ``(B, H, W)`` int64 labels -> scalar.

        ``weight``, MMSegmentation's pixel weights, must be None.
        """
        if weight is not None:
            raise ValueError('BalancedCrossEntropy takes no pixel sampler: remove it from the head')
        if self.mode == 'image':
            return self.loss_weight * sum(
                image_balanced_cross_entropy(seg_logits, label, ignore_index)
            )
        loss = balanced_cross_entropy(
            seg_logits, label, ignore_index, self.official_nan, self.smoothing
        )
        return self.loss_weight * loss
