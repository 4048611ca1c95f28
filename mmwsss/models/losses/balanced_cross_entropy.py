"""Cross-entropy balanced between background and foreground."""

from torch import Tensor, nn

from mmwsss.ops.losses import balanced_cross_entropy
from mmwsss.registry import MODELS


@MODELS.register_module()
class BalancedCrossEntropy(nn.Module):
    """See :func:`mmwsss.ops.losses.balanced_cross_entropy`.

    Args:
        loss_weight: Factor.
        official_nan: NaN, not 0, for a part without pixels.
    """

    def __init__(self, loss_weight: float = 1.0, official_nan: bool = False) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.official_nan = official_nan

    def forward(self, seg_logits: Tensor, label: Tensor, ignore_index: int = 255) -> Tensor:
        """``(B, C, H, W)`` logits against ``(B, H, W)`` int64 labels -> scalar."""
        loss = balanced_cross_entropy(seg_logits, label, ignore_index, self.official_nan)
        return self.loss_weight * loss
