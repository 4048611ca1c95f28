"""Loss on a predicted patch affinity."""

from torch import Tensor, nn

from mmwsss.ops.losses import affinity_loss
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import WEIGHT, checked


@MODELS.register_module()
@checked(loss_weight=WEIGHT)
class AffinityLoss(nn.Module):
    """See :func:`mmwsss.ops.losses.affinity_loss`.

    Args:
        loss_weight: Factor, 0.1 in AFA and WeCLIP.
    """

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, affinity: Tensor, target: Tensor) -> Tensor:
        """``(B, N, N)`` affinity in [0, 1] against 0 / 1 / 255 targets -> scalar."""
        return self.loss_weight * affinity_loss(affinity.float(), target)[0]
