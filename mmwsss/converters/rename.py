"""The one way in which the keys of a foreign state dict become ours."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mmwsss.utils.checks import some

Value = TypeVar('Value')
Replacement = str | Callable[[re.Match], str]
Rule = tuple[str, Replacement]


def rename_keys(
    state: Mapping[str, Value],
    rules: Sequence[Rule],
    dropped: Iterable[str] = (),
    what: str = 'a known network',
) -> dict[str, Value]:
    r"""Rename the keys of a state dict by a table; every key is renamed, dropped or refused.

    Args:
        state: Foreign names and values. ``module.`` in front of a name is ignored; the values are
            passed on untouched.
        rules: ``(pattern, replacement)`` pairs. The first pattern that matches at the *beginning*
            of a key counts: what it matched is replaced, what follows is kept. The replacement is
            a template (``r'\1'``, ``r'\g<0>'``) or a function of the match.
        dropped: Names, or patterns of *whole* keys, to leave out; looked at before the rules.
        what: What the checkpoint is taken for, in messages.

    Returns:
        ``{our name: value}`` in the order of ``state``.

    Raises:
        ValueError: Keys are unknown (says how many and names the first five), or two keys would
            get one name.

    Example:
        >>> rename_keys({'module.conv1.weight': 1, 'fc.bias': 2}, [('conv', 'stem')], [r'fc\..*'])
        {'stem1.weight': 1}
    """
    dropped = tuple(dropped)
    found, unknown = [], []
    for key, value in state.items():
        bare = key.removeprefix('module.')
        if any(re.fullmatch(pattern, bare) for pattern in dropped):
            continue
        name = _renamed(bare, rules)
        if name is None:
            unknown.append(key)
        else:
            found.append((name, key, value))
    if unknown:
        raise not_of(what, f'{len(unknown)} of {len(state)} keys are unknown: {some(unknown)}')
    sources: dict[str, str] = {}
    for name, key, _ in found:
        if name in sources:
            raise not_of(what, f'{sources[name]} and {key} would both become {name}')
        sources[name] = key
    return {name: value for name, _, value in found}


def _renamed(key: str, rules: Sequence[Rule]) -> str | None:
    for pattern, replacement in rules:
        match = re.match(pattern, key)
        if match:
            return _replaced(match, replacement) + key[match.end() :]
    return None


def _replaced(match: re.Match, replacement: Replacement) -> str:
    return replacement(match) if callable(replacement) else match.expand(replacement)


def not_of(what: str, why: str) -> ValueError:
    """The error of every converter."""
    return ValueError(f'this is not a checkpoint of {what}: {why}')


def from_zero(template: str) -> Callable[[re.Match], str]:
    """Replacement for names that count from 1 where ours count from 0.

    Args:
        template: For :meth:`str.format`: ``{}`` are the groups of the match in their order, of
            which the first is a number and gets 1 less.
    """
    return lambda match: template.format(int(match[1]) - 1, *match.groups()[1:])


def prefixed(rules: Sequence[Rule], old: str, new: str) -> tuple[Rule, ...]:
    """The rules of a network that is part of a larger one.

    Args:
        rules: Of the network alone; their replacements see their own match, without ``old``.
        old: Pattern of what stands in front of every key.
        new: Text in front of every name of ours.
    """
    return tuple((f'{old}(?:{rule[0]})', _prefixed(rule, old, new)) for rule in rules)


def _prefixed(rule: Rule, old: str, new: str) -> Callable[[re.Match], str]:
    pattern, replacement = rule

    def replace(match: re.Match) -> str:
        start = re.match(old, match.string).end()
        return new + _replaced(re.compile(pattern).match(match.string, start), replacement)

    return replace
