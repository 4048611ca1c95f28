from .four_group import FourGroupOptimWrapperConstructor
from .separate import SeparateOptimWrapperConstructor
from .skipping import SkippingOptimWrapper

__all__ = [
    'FourGroupOptimWrapperConstructor',
    'SeparateOptimWrapperConstructor',
    'SkippingOptimWrapper',
]
