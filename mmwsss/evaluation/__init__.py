from .metrics import WalkSweepMetric, WSSSIoUMetric
from .writers import CAMStoreWriter, PseudoMaskWriter

__all__ = ['CAMStoreWriter', 'PseudoMaskWriter', 'WSSSIoUMetric', 'WalkSweepMetric']
