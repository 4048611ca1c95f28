"""The stages of a config as a plain list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..utils.checks import check_range


def unrolled(specs: Sequence[Mapping] | Mapping[str, Mapping]) -> Iterator[Mapping]:
    """The stages of a config as a list, with every ``repeat`` written out.

    Raises:
        ValueError: ``times`` is no whole number above 0, or an inner stage has one name for all
            rounds.
    """
    if isinstance(specs, Mapping):
        specs = [
            dict(spec, name=name) if isinstance(spec, Mapping) else (name, spec)
            for name, spec in specs.items()
            if spec is not None
        ]
    if not isinstance(specs, list | tuple):
        raise ValueError(f'stages must be a list or a dictionary, got {specs!r}')
    for spec in specs:
        if not isinstance(spec, Mapping):
            raise ValueError(f'every stage must be a dictionary, got {spec!r}')
        if spec.get('run') != 'repeat':
            yield spec
            continue
        check_range('times of a repeat stage', spec.get('times', 1), 1, integer=True)
        for number in range(1, spec.get('times', 1) + 1):
            for inner in unrolled(spec.get('stages')):
                if '{round}' not in str(inner.get('name', '')):
                    raise ValueError(
                        f'the name of a repeated stage must hold {{round}}: {inner.get("name")!r}'
                    )
                yield filled(inner, round=number, before=number - 1)


def filled(value: Any, **names: str | int) -> Any:
    """A nest of dictionaries and lists with ``{name}`` in its texts replaced."""
    if isinstance(value, Mapping):
        return {key: filled(item, **names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(filled(item, **names) for item in value)
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f'{{{name}}}', str(text))
    return value
