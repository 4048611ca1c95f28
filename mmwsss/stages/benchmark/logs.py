"""What the runs of stages have logged: losses, times, memory, and the weights they trained."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.checkpoint import load_checkpoint_file


@dataclass
class TrainingLog:
    """What a training has logged.

    Attributes:
        loss: ``{iteration: loss}``.
        miou: ``{iteration: mIoU}`` of validation, in percent.
        times: Seconds of a step, as they were logged.
        memory: Megabytes of GPU memory, likewise.
    """

    loss: dict[int, float] = field(default_factory=dict)
    miou: dict[int, float] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def seconds_per_step(self) -> float | None:
        """Median of the logged ones."""
        return statistics.median(self.times) if self.times else None

    @property
    def peak_memory(self) -> float | None:
        """Megabytes on the GPU; None on a CPU."""
        return max(self.memory, default=None)


def read_training(work_dir: Path) -> TrainingLog:
    """The log of a training, of all runs if it was interrupted; of two, the later one counts."""
    log = TrainingLog()
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8').splitlines():
            entry = _parse(line)
            if 'iter' in entry:
                _add(log.loss, int(entry['iter']), entry.get('loss'))
                log.times += [entry['time']] if 'time' in entry else []
                log.memory += [entry['memory']] if 'memory' in entry else []
            elif 'mIoU' in entry and 'step' in entry:
                _add(log.miou, int(entry['step']), entry['mIoU'])
    log.loss, log.miou = (dict(sorted(one.items())) for one in (log.loss, log.miou))
    return log


def seconds_per_image(work_dir: Path, batch_size: int) -> float | None:
    """Mean over the last test in a folder; None if nothing is logged."""
    for folder in sorted(work_dir.glob('[0-9]*'), reverse=True):
        path = folder / f'{folder.name}.json'
        if path.is_file():
            seconds = _parse(path.read_text(encoding='utf-8')).get('time')
            return None if seconds is None else seconds / batch_size
    return None


def trained_parameters(checkpoint: Path) -> int | None:
    """Numbers that the optimizer of a checkpoint has changed; None if it holds no state of it."""
    optimizer = load_checkpoint_file(checkpoint, 'meta').get('optimizer') or {}
    count = sum(_count(one) for one in _optimizers(optimizer))
    return count or None


def _optimizers(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One, or those of several networks by their names."""
    if 'param_groups' in state:
        return [state]
    return [one for one in state.values() if isinstance(one, Mapping) and 'param_groups' in one]


def _count(optimizer: Mapping[str, Any]) -> int:
    """The moments of a parameter have its shape; other entries are single numbers."""
    entries = optimizer.get('state', {}).values()
    sizes = ([v.numel() for v in entry.values() if hasattr(v, 'numel')] for entry in entries)
    return sum(max(found, default=0) for found in sizes)


def _parse(line: str) -> dict[str, Any]:
    """A line of JSON; nothing if a killed run has cut it off."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _add(values: dict[int, float], step: int, value: float | None) -> None:
    if value is not None:
        values[step] = value
