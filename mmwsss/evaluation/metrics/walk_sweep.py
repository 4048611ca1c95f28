"""The metric of the masks that a random walk gives under several settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import Tensor

from mmwsss.registry import METRICS

from .wsss_iou import WSSSIoUMetric, named_field

_REMEDY = 'mmwsss.AffinityNet gives them with model.test_cfg.sweep'


@METRICS.register_module()
class WalkSweepMetric(WSSSIoUMetric):
    """Judge ``pred_walks``: the masks of all pairs of background and length of a random walk.

    Logs a table of their mIoU. Keys: those of :class:`WSSSIoUMetric` for the best pair, its
    settings ``best_alpha`` or ``best_background`` and ``best_logt``, and the mIoU of every pair
    under a name like ``alpha=4,logt=6``.

    Args:
        kwargs: Arguments of :class:`WSSSIoUMetric` but ``background_thresholds`` and ``field``.

    Raises:
        ValueError: One of these two is given.
    """

    def __init__(self, **kwargs) -> None:
        refused = {'background_thresholds', 'field'} & kwargs.keys()
        if refused:
            raise ValueError(
                f'WalkSweepMetric judges pred_walks, whose backgrounds model.test_cfg.sweep names: '
                f'remove {", ".join(sorted(refused))}'
            )
        super().__init__(**kwargs)
        self.settings: Sequence[Mapping[str, float]] = ()

    def _count_image(self, path: str, sample: dict) -> Tensor:
        walks = named_field(sample, 'pred_walks', path, _REMEDY)
        self.settings, count = walks['settings'], super()._count_image
        masks = ({**sample, self.field: dict(data=label[None])} for label in walks['labels'])
        return torch.stack([count(path, mask) for mask in masks], dim=-1)

    def _shape(self) -> tuple[int, ...]:
        return *super()._shape(), len(self.settings)

    def _reported(self, counts: Tensor) -> tuple[Tensor, dict[str, float], None]:
        matrices = counts.permute(2, 0, 1)
        curve, best = self._compared(matrices)
        if is_main_process():
            print_log(f'mIoU of the walks:\n{_table(self.settings, curve.tolist())}', 'current')
        extra = {f'best_{key}': value for key, value in self.settings[best].items()}
        names = (','.join(f'{k}={v:g}' for k, v in one.items()) for one in self.settings)
        return matrices[best], {**extra, **dict(zip(names, curve.tolist(), strict=True))}, None


def _table(settings: Sequence[Mapping[str, float]], scores: Sequence[float]) -> PrettyTable:
    """A line for each length, a column for each background."""
    lines: dict[float, dict[str, str]] = {}
    for setting, score in zip(settings, scores, strict=True):
        (background,) = (f'{key} {value:g}' for key, value in setting.items() if key != 'logt')
        lines.setdefault(setting['logt'], {})[background] = f'{score:.2f}'
    table = PrettyTable(['logt', *next(iter(lines.values()))])
    for logt, line in lines.items():
        table.add_row([logt, *line.values()])
    return table
