"""Loss of AffinityNet."""

from torch import Tensor, nn

from mmwsss.ops.pixel_affinity import PairLabels, pair_affinity_loss
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import WEIGHT, checked


@MODELS.register_module()
@checked(background_weight=WEIGHT, foreground_weight=WEIGHT, negative_weight=WEIGHT)
class PairAffinityLoss(nn.Module):
    """See :func:`mmwsss.ops.pixel_affinity.pair_affinity_loss`.

    Args:
        background_weight, foreground_weight, negative_weight: Factors of the three parts.
    """

    def __init__(
        self,
        background_weight: float = 0.25,
        foreground_weight: float = 0.25,
        negative_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.weights = (background_weight, foreground_weight, negative_weight)

    def forward(self, affinity: Tensor, labels: PairLabels) -> dict[str, Tensor]:
        """``(B, D, n)`` affinities in (0, 1] -> weighted scalars ``loss_affinity_<part>``."""
        parts = pair_affinity_loss(affinity.float(), labels)
        names = ('bg', 'fg', 'neg')
        return {
            f'loss_affinity_{name}': weight * part
            for name, weight, part in zip(names, self.weights, parts, strict=True)
        }
