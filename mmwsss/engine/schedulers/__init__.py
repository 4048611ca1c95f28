from .poly_warmup import PolyWarmupLR

__all__ = ['PolyWarmupLR']
