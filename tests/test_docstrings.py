"""Everything public in the package says what it is."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest
from torch import nn

import mmwsss

MODULES = sorted(info.name for info in pkgutil.walk_packages(mmwsss.__path__, 'mmwsss.'))


def public(owner: object, module: str) -> Iterator[tuple[str, object]]:
    """Public classes and callables that ``module`` itself defines in a module or a class."""
    for name, value in vars(owner).items():
        value = getattr(value, '__wrapped__', value)
        value = getattr(value, 'fget', getattr(value, '__func__', value))
        own = getattr(value, '__module__', None) == module
        if own and callable(value) and not name.startswith('_'):
            yield name, value


def undocumented(module: ModuleType) -> list[str]:
    """Names without a docstring.

    An override is documented by the class that it overrides a method of, which is known to who
    uses the class; but not by ``nn.Module.forward``, whose arguments are anything.
    """
    name, found = module.__name__, []
    if not module.__doc__ and not hasattr(module, '__path__'):
        found.append(name)
    for key, value in public(module, name):
        if not value.__doc__:
            found.append(f'{name}.{key}')
        if inspect.isclass(value):
            bases = [base for base in value.__mro__[1:] if base is not nn.Module]
            for member, method in public(value, name):
                overridden = (vars(base)[member] for base in bases if member in vars(base))
                if not method.__doc__ and not any(base.__doc__ for base in overridden):
                    found.append(f'{name}.{key}.{member}')
    return found


@pytest.mark.parametrize('name', MODULES)
def test_public_names_have_docstrings(name):
    assert undocumented(importlib.import_module(name)) == []


def test_a_missing_docstring_is_found():
    module = ModuleType('some.place', 'A module.')
    code = """
import torch

def helper(): "Documented."
def silent(): pass
class Base:
    "A base."
    def run(self): "Documented."
    @property
    def size(self): pass
class Child(Base, torch.nn.Module):
    "A child."
    def run(self): pass
    def forward(self): pass
    def _own(self): pass
    @classmethod
    def make(cls): pass
"""
    exec(code, vars(module))
    names = ['silent', 'Base.size', 'Child.forward', 'Child.make']
    assert undocumented(module) == [f'some.place.{name}' for name in names]
