from .four_group import FourGroupOptimWrapperConstructor
from .separate import SeparateOptimWrapperConstructor
from .skipping import SkippingAmpOptimWrapper, SkippingOptimWrapper

__all__ = [
    'FourGroupOptimWrapperConstructor',
    'SeparateOptimWrapperConstructor',
    'SkippingAmpOptimWrapper',
    'SkippingOptimWrapper',
]
