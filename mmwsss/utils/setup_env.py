"""Registering all modules, for scripts that build them by hand."""

import importlib
import warnings

from mmengine.registry import DefaultScope

_MODULES = ('datasets', 'engine', 'evaluation', 'models', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every module of mmwsss, so that all its types are in the registries.

    Configs do not need this: the registries import the modules when a name is looked up.

    Args:
        init_default_scope: Make ``mmseg`` (the scope of the shipped configs) the default
            scope. If another scope is active, a new one is created with a warning.
    """
    for name in _MODULES:
        importlib.import_module(f'mmwsss.{name}')
    if not init_default_scope:
        return
    current = DefaultScope.get_current_instance()
    if current is None:
        DefaultScope.get_instance('mmseg', scope_name='mmseg')
    elif current.scope_name not in ('mmseg', 'mmwsss'):
        warnings.warn(
            f'The default scope is {current.scope_name!r}; register_all_modules() switches it to '
            "'mmseg'. Pass init_default_scope=False to keep it.",
            stacklevel=2,
        )
        DefaultScope.get_instance('mmseg-mmwsss', scope_name='mmseg')
