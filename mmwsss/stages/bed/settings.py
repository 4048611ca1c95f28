"""What the bed compares, in the words of the command line."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...datasets.activation_source import SOURCES, ActivationSource, MaskSource, open_source
from ...datasets.label_list import LabelList
from ...datasets.saliency_source import ConstantSaliency, SaliencySource
from ...utils.checks import check_choice
from ...utils.provenance import RECORD, read_record
from ..saliency import PUBLISHED, USES_MASKS, LabelRule, SaliencyFromImages
from .published import origin_of

NO_SALIENCY = 'none'
MAX_PAIRS = 4096
_NAME = re.compile(r'\w[\w.+-]*')


@dataclass(frozen=True)
class BedSource:
    """Activation maps under a name.

    Attributes:
        name: As tables call it.
        folder: Of the maps.
        kind: One of :data:`mmwsss.datasets.activation_source.SOURCES`; None: found out.
        use_saliency: Whether labels are made with saliency; not of maps that have seen it.
        preset: Published settings that are judged beside the grid; None: none are known.
    """

    name: str
    folder: Path
    kind: str | None = None
    use_saliency: bool = True
    preset: LabelRule | None = None

    def open(self, num_foreground: int, labels: LabelList | None) -> ActivationSource:
        """The reader of the folder."""
        return open_source(self.folder, self.kind, num_foreground, labels)


@dataclass(frozen=True)
class BedSaliency:
    """Saliency maps under a name.

    Attributes:
        name: As tables call it; ``'none'`` is no saliency.
        place: Folder, or one value for all pixels, or None.
        origin: What they were learned from.
        uses_masks: Whether masks of the same classes were used: no longer weak supervision.
    """

    name: str
    place: Path | float | None = None
    origin: str = 'not known'
    uses_masks: bool = False

    def open(self) -> SaliencySource | ConstantSaliency | None:
        """The reader."""
        if self.place is None:
            return None
        if isinstance(self.place, float):
            return ConstantSaliency(self.place)
        return SaliencySource(self.place)


def published_rule(source: BedSource, saliency: BedSaliency) -> LabelRule | None:
    """Published settings of a source, if they use saliency as its cell does."""
    rule = source.preset
    if source.kind == 'mask' or (rule and rule.use_saliency and saliency.place is None):
        return None
    return rule


def parse_source(text: str, preset: bool = True) -> BedSource:
    """``NAME=FOLDER[:WORD,...]``.

    Words: a kind (store, png, npy, dense, mask), ``wo_sal``, ``preset=NAME`` of a published source.
    Without the latter, NAME itself up to the first ``_`` is looked for there.

    Args:
        text: As above.
        preset: Whether published settings are looked for.

    Raises:
        ValueError: Something else.
    """
    name, rest = _named('source', text)
    folder, words = _split_words(rest, {*SOURCES, 'wo_sal'}, 'preset')
    kinds = [word for word in words if word in SOURCES]
    if len(kinds) > 1:
        raise ValueError(f'source {text}: it is one of {", ".join(kinds)}, not several')
    chosen = next((w.partition('=')[2] for w in words if w.startswith('preset=')), None)
    if chosen is not None:
        check_choice(f'preset of source {name}', chosen, PUBLISHED)
    rule = PUBLISHED.get(chosen or name.partition('_')[0]) if preset else None
    seen = 'wo_sal' in words
    if rule is not None and seen:
        rule = replace(rule, ignore=False, use_saliency=False)
    seen = seen or (rule is not None and not rule.use_saliency)
    return BedSource(name, Path(folder), kinds[0] if kinds else None, not seen, rule)


def parse_saliency(text: str) -> BedSaliency:
    """``none``, ``NAME=FOLDER[:masks]`` or ``NAME=const:VALUE``.

    ``masks`` says that masks of the classes are behind the maps. It is known of released ones by
    their names (``_COCO``, ``_COCO20``), and of those that our tasks have made.

    Raises:
        ValueError: Something else.
    """
    if text == NO_SALIENCY:
        return BedSaliency(NO_SALIENCY, None, origin_of(None))
    name, rest = _named('saliency', text)
    if name == NO_SALIENCY:
        raise ValueError(f'saliency {text}: the name none stands for no saliency; give another one')
    if rest.startswith('const:'):
        try:
            value = float(rest.removeprefix('const:'))
        except ValueError:
            raise ValueError(f'saliency {text}: const:VALUE needs a number in [0, 1]') from None
        return BedSaliency(name, value, 'one value for all pixels')
    folder, words = _split_words(rest, {'masks'})
    origin = 'made from masks of the same classes' if words else _origin(name, Path(folder))
    return BedSaliency(name, Path(folder), origin, 'same classes' in origin)


def _origin(name: str, folder: Path) -> str:
    """What is known of a folder of ours by its record, and of a released one by its name."""
    record = folder / RECORD
    made = read_record(record)['settings'] if record.is_file() else {}
    if made.get('kind') in USES_MASKS:
        return f'made from masks of the same classes ({made.get("level")})'
    if made.get('kind') == SaliencyFromImages.__name__:
        return f'{made.get("method", "?").replace("_", " ")}, without learning'
    return origin_of(name)


def parse_numbers(text: str, what: str) -> tuple[float, ...]:
    """``0.2``, ``0.1,0.2`` or ``START:END:STEP`` (the end belongs to it), increasing in [0, 1].

    Raises:
        ValueError: Something else.
    """
    try:
        if ':' in text:
            start, end, step = (float(part) for part in text.split(':'))
            if step <= 0 or end < start or (end - start) / step > MAX_PAIRS:
                raise ValueError
            count = int(np.floor((end - start) / step + 1e-9)) + 1
            numbers = [round(start + i * step, 10) for i in range(count)]
        else:
            numbers = [float(part) for part in text.split(',')]
    except ValueError:
        raise ValueError(
            f'{what} must be a number, numbers with commas, or START:END:STEP, got {text!r}'
        ) from None
    increasing = all(a < b for a, b in pairwise(numbers))
    if not increasing or not (numbers[0] >= 0 and numbers[-1] <= 1):
        raise ValueError(f'{what} must increase, within 0 and 1, got {text!r}')
    return tuple(numbers)


def is_mask(source: ActivationSource) -> bool:
    """Whether labels are finished."""
    return isinstance(source, MaskSource)


def _named(what: str, text: str) -> tuple[str, str]:
    name, equals, rest = text.partition('=')
    if not equals or not rest or not _NAME.fullmatch(name) or '__' in name:
        raise ValueError(
            f'{what} must be NAME=FOLDER, with a name of letters, digits, ., single _, + and -; '
            f'got {text!r}'
        )
    return name, rest


def _split_words(text: str, known: set[str], *keys: str) -> tuple[str, list[str]]:
    """The folder, and the words behind its last colon if they are known."""
    folder, colon, tail = text.rpartition(':')
    words = tail.split(',') if colon else []

    def fits(word: str) -> bool:
        return word in known or any(word.startswith(f'{key}=') for key in keys)

    if words and any(fits(word) for word in words):
        unknown = [word for word in words if not fits(word)]
        if unknown:
            raise ValueError(f'{text}: {unknown[0]!r} is none of {", ".join(sorted(known))}')
        return folder, words
    if words and not os.path.isdir(text):
        choices = ', '.join([*sorted(known), *(f'{key}=NAME' for key in keys)])
        raise ValueError(f'{text} is no folder; words behind a colon are {choices}')
    return text, []
