from .metrics import WSSSIoUMetric
from .writers import CAMStoreWriter, PseudoMaskWriter

__all__ = ['CAMStoreWriter', 'PseudoMaskWriter', 'WSSSIoUMetric']
