from .poly_warmup import PolyWarmupLR
from .stepwise_poly import StepwisePolyLR

__all__ = ['PolyWarmupLR', 'StepwisePolyLR']
