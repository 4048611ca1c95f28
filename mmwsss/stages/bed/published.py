"""The tables of the paper, to draw a run beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...datasets.converters.bed_archives import MODELS
from ...utils.text import read_json

_FILE = Path(__file__).parents[2] / 'assets/wsss_bed.json'


@dataclass(frozen=True)
class PublishedTables:
    """mIoU of the retrained network on val, as published.

    Attributes:
        source: Where the numbers come from, and what they were made with.
        miou: ``{data set: {method: {saliency: (mean, deviation)}}}``.
        paper: ``{data set: {method: mIoU in the method's own paper}}``.
        fully_supervised: ``{data set: mIoU}``.
    """

    source: str
    miou: dict[str, dict[str, dict[str, tuple[float, float]]]]
    paper: dict[str, dict[str, float]]
    fully_supervised: dict[str, float]

    def find(self, dataset: str, source: str, saliency: str | None) -> tuple[float, float] | None:
        """Mean and deviation of a cell by the names of its archives; None if there is none.

        The maps of EPS and L2G have seen the saliency themselves: ``EPS_MOVE`` without saliency is
        the cell of EPS and MOVE.
        """
        method, _, inside = source.partition('_')
        name = inside if inside and saliency is None else saliency
        return self.miou.get(dataset, {}).get(method, {}).get(name)


@cache
def published_tables() -> PublishedTables:
    """The tables, from the file that is shipped."""
    content = read_json(_FILE)
    sets = {name: value for name, value in content.items() if name != 'source'}
    return PublishedTables(
        content['source'],
        {
            name: {
                method: {key: tuple(pair) for key, pair in row.items()}
                for method, row in value['miou'].items()
            }
            for name, value in sets.items()
        },
        {name: value['paper'] for name, value in sets.items()},
        {name: value['fully_supervised'] for name, value in sets.items()},
    )


def origin_of(saliency: str | None) -> str:
    """What a saliency map was learned from, by the name of its archive or operator."""
    if saliency is None:
        return 'no saliency'
    if saliency.endswith(('_COCO', '_COCO20')):
        return 'trained on masks of the same classes'
    if saliency.startswith(tuple(f'{model}_' for model in MODELS)):
        return 'trained on masks of salient objects'
    if saliency in ('MOVE', 'DeepUSPS'):
        return 'learned without masks'
    return 'not known'
