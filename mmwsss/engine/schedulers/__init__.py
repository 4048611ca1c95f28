from .cosine_warmup import CosineWarmupLR
from .poly_warmup import PolyWarmupLR
from .stepwise_poly import StepwisePolyLR

__all__ = ['CosineWarmupLR', 'PolyWarmupLR', 'StepwisePolyLR']
