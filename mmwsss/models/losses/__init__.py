from .affinity_loss import AffinityLoss
from .balanced_cross_entropy import BalancedCrossEntropy
from .dense_energy_loss import DenseEnergyLoss
from .pair_affinity_loss import PairAffinityLoss
from .puf_cross_entropy import PUFCrossEntropyLoss

__all__ = [
    'AffinityLoss',
    'BalancedCrossEntropy',
    'DenseEnergyLoss',
    'PUFCrossEntropyLoss',
    'PairAffinityLoss',
]
