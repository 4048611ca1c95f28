"""Ranges of constructor arguments, declared beside the class.

A rule is a function of the name and the value of an argument that raises ValueError. The
constants below are the usual ones; :func:`number`, :func:`one_of`, :func:`several` and
:func:`pair` make others.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from .checks import check_choice, check_flag, check_range

Rule = Callable[[str, object], None]
Class = TypeVar('Class', bound=type)


def checked(**rules: Rule) -> Callable[[Class], Class]:
    """Class decorator: check arguments of the constructor before it runs.

    Only arguments that are given are checked; None passes where it is the default or in the
    annotation. Subclasses inherit the rules of what they hand on. A constructor that takes
    ``**kwargs`` may have rules for what its base class takes.

    Args:
        rules: ``argument=rule``.

    Raises:
        TypeError: The constructor has no such argument.
        ValueError: From the constructor: ``Class.argument must be ..., got ...``.

    Example:
        >>> @checked(dropout_ratio=SHARE, channels=COUNT)
        ... class Head:
        ...     def __init__(self, channels: int, dropout_ratio: float = 0.1) -> None: ...
    """

    def decorate(cls: Class) -> Class:
        init = cls.__init__
        signature = inspect.signature(init)
        parameters = signature.parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        unknown = sorted(rules.keys() - parameters.keys())
        if unknown and not open_ended:
            raise TypeError(f'{cls.__name__} has no argument {", ".join(unknown)}')

        @functools.wraps(init)
        def checked_init(self, *args, **kwargs) -> None:
            for name, value in _given(signature, (self, *args), kwargs):
                if name in rules and not (value is None and _may_be_none(parameters.get(name))):
                    rules[name](f'{type(self).__name__}.{name}', value)
            init(self, *args, **kwargs)

        cls.__init__ = checked_init
        cls._argument_rules = {**rules_of(cls), **rules}
        return cls

    return decorate


def rules_of(cls: type) -> dict[str, Rule]:
    """The rules of a class and its bases by the name of the argument."""
    return getattr(cls, '_argument_rules', {})


def number(
    low: float = -float('inf'),
    high: float = float('inf'),
    *,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
) -> Rule:
    """A finite number within bounds; see :func:`mmwsss.utils.checks.check_range`."""

    def rule(name: str, value: object) -> None:
        """A number within bounds."""
        _not_none(name, value)
        check_range(name, value, low, high, open_low=open_low, open_high=open_high, integer=integer)

    return rule


def one_of(*choices: object) -> Rule:
    """One of some values, which are usually words."""
    return partial(check_choice, choices=choices)


def several(rule: Rule, length: int | None = None, least: int = 1) -> Rule:
    """A list or tuple, each item of which keeps ``rule``.

    Args:
        rule: Of the items.
        length: Of the list; None: any from ``least`` on.
        least: Shortest length.
    """

    def check(name: str, values: object) -> None:
        """A list, each item of which keeps a rule."""
        listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
        if not listed or len(values) < least or length not in (None, len(values)):
            size = f'of length {length}' if length else 'that is not empty' if least else ''
            raise ValueError(f'{name} must be a list {size}, got {values!r}'.replace(' ,', ','))
        for index, value in enumerate(values):
            rule(f'{name}[{index}]', value)

    return check


def pair(rule: Rule) -> Rule:
    """A lower and an upper value, each of which keeps ``rule``; they may be equal."""

    def check(name: str, values: object) -> None:
        """A lower and an upper value."""
        several(rule, length=2)(name, values)
        if values[0] > values[1]:
            raise ValueError(f'{name} must be low <= high, got {values!r}')

    return check


def single_or_several(rule: Rule, length: int | None = None) -> Rule:
    """A value, or a list of values as in :func:`several`."""
    listed = several(rule, length)

    def check(name: str, value: object) -> None:
        """A value that keeps a rule, or a list of such values."""
        (listed if isinstance(value, list | tuple) else rule)(name, value)

    return check


def _check_text(name: str, value: object) -> None:
    """Text, or a path."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f'{name} must be text, got {value!r}')


FLAG: Rule = check_flag
TEXT: Rule = _check_text
NUMBER = number()
INTEGER = number(integer=True)
COUNT = number(1, integer=True)
WHOLE = number(0, integer=True)
SHARE = number(0, 1)
POSITIVE = number(0, open_low=True)
WEIGHT = number(0)
GREY = number(0, 255)
PALETTE = several(several(number(0, 255, integer=True), 3))
SIZE = single_or_several(COUNT, length=2)  # a side, or (height, width)
FOREGROUND = number(1, 254, integer=True)  # 255 in a mask is "unsure", 0 the background
CLASSES = number(1, 255, integer=True)


def _given(signature: inspect.Signature, args: tuple, kwargs: dict) -> Iterator[tuple[str, object]]:
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError:  # the constructor itself says so better
        return
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items()
        else:
            yield name, value


def _may_be_none(parameter: inspect.Parameter | None) -> bool:
    return parameter is None or parameter.default is None or 'None' in str(parameter.annotation)


def _not_none(name: str, value: object) -> None:
    if value is None:
        raise ValueError(f'{name} must be a number, got None')
