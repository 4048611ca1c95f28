from .affinity_loss import AffinityLoss
from .balanced_cross_entropy import BalancedCrossEntropy

__all__ = ['AffinityLoss', 'BalancedCrossEntropy']
