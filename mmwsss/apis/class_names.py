"""Class names, prompts and image labels as a user gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..datasets.converters.common import check_class_names
from ..models.text_encoders.text_bank import as_clip_reads
from ..stores.label_file import encode_image_labels
from ..utils.checks import check_unique, some
from ..utils.images import unwritable_name

ClassNames = Sequence[str] | Mapping[str, str | Sequence[str]]

MAX_CLASSES = 254  # masks of 8 bits: 0 is background, 255 unsure


def read_class_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """``NAME`` or ``NAME=PROMPT`` of a command line -> ``{name: prompt}``.

    Raises:
        ValueError: A name is empty, given twice, or one of the background.
    """
    pairs = [argument.partition('=') for argument in arguments]
    check_names([name.strip() for name, _, _ in pairs])
    return {name.strip(): prompt.strip() or name.strip() for name, _, prompt in pairs}


def class_prompts(classes: ClassNames) -> dict[str, str]:
    """``{class name: prompt}`` in class order.

    Raises:
        ValueError: See :func:`check_names`, or a prompt is empty.
    """
    if isinstance(classes, str):
        raise ValueError(f'classes must be a list of names, not the string {classes!r}')
    names = _texts('class names', classes)
    check_names(names)
    if not isinstance(classes, Mapping):
        return {name: name for name in names}
    prompts = {}
    for name, value in zip(names, classes.values(), strict=True):
        value = [value] if isinstance(value, str) else value
        words = _texts(f'the prompt of class {name!r}', value)
        if not words or '' in words:
            raise ValueError(f'the prompt of class {name!r} is empty')
        prompts[name] = ','.join(words)
    return prompts


def check_names(names: Sequence[str]) -> None:
    """Raise ValueError unless class names can be told apart and written to a class list."""
    if not names or '' in names:
        raise ValueError('give at least one class name, and no empty one')
    if len(names) > MAX_CLASSES:
        raise ValueError(f'masks of 8 bits hold {MAX_CLASSES} classes at most, got {len(names)}')
    check_unique('class name', names)
    check_class_names(names, 'the list of classes')
    for name in names:
        if reason := unwritable_name(name):
            raise ValueError(f'class {some([ascii(name)])} is a {reason}; choose another name')


def _texts(what: str, texts: Iterable[str]) -> list[str]:
    """Texts without blanks around them."""
    if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'{what} must be texts, got {texts!r:.200}')
    return [text.strip() for text in texts]


def background_prompts(background: Sequence[str], classes: Iterable[str]) -> list[str]:
    """Background names that are no class names.

    Raises:
        ValueError: A name is empty or given twice.
    """
    if isinstance(background, str):
        raise ValueError(f'background must be a list of names, not the string {background!r}')
    names = _texts('background names', background)
    if '' in names:
        raise ValueError('background holds an empty name')
    check_unique('background name', map(as_clip_reads, names))
    taken = set(map(as_clip_reads, classes))
    return [name for name in names if as_clip_reads(name) not in taken]


def encode_all(
    labels: Sequence[Sequence[str]], foreground: Sequence[str], names: Sequence[str]
) -> list[np.ndarray]:
    """Class names of images as indices; see :func:`encode_image_labels`.

    Args:
        labels: Class names of every image.
        foreground: All foreground class names.
        names: What messages call the images.

    Raises:
        ValueError: A name is no class; names the image.
    """
    encoded = []
    for label, name in zip(labels, names, strict=True):
        try:
            encoded.append(encode_image_labels(list(label), foreground))
        except (TypeError, ValueError) as error:
            raise ValueError(f'image labels of {some([name])}: {error}') from error
    return encoded
