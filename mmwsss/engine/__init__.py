from . import hooks, schedulers

__all__ = ['hooks', 'schedulers']
