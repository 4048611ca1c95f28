from .affinity_loss import AffinityLoss
from .affinity_vector_loss import AffinityVectorLoss
from .attention_view_loss import AttentionViewLoss
from .balanced_cross_entropy import BalancedCrossEntropy
from .dense_energy_loss import DenseEnergyLoss
from .pair_affinity_loss import PairAffinityLoss
from .puf_cross_entropy import PUFCrossEntropyLoss

__all__ = [
    'AffinityLoss',
    'AffinityVectorLoss',
    'AttentionViewLoss',
    'BalancedCrossEntropy',
    'DenseEnergyLoss',
    'PUFCrossEntropyLoss',
    'PairAffinityLoss',
]
