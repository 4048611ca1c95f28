from .four_group import FourGroupOptimWrapperConstructor
from .skipping import SkippingOptimWrapper

__all__ = ['FourGroupOptimWrapperConstructor', 'SkippingOptimWrapper']
