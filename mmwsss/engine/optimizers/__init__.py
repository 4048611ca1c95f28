from .four_group import FourGroupOptimWrapperConstructor
from .separate import SeparateOptimWrapperConstructor

__all__ = ['FourGroupOptimWrapperConstructor', 'SeparateOptimWrapperConstructor']
