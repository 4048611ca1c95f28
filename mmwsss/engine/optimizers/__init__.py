from .four_group import FourGroupOptimWrapperConstructor

__all__ = ['FourGroupOptimWrapperConstructor']
