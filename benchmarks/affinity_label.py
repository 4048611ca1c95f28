"""Speed of affinity labels: which pairs of a label map's cells are near, and of one class (AFA).

Baseline: the official formulation, a Python loop over all near pairs for the radius mask, and a
loop over the images for the labels. Training reuses the mask, so both are also timed without it.

    python benchmarks/affinity_label.py [--repeat 3] [--quick]
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from _measure import Report, parse
from torch import Tensor

from mmwsss.ops.affinity import affinity_label, radius_mask

BATCH, CROP, RADIUS, IGNORE = 4, 512, 8, 255
GRIDS = ((32, 32), (48, 48))  # of the crop, and of its largest view


def loop_radius_mask(grid: tuple[int, int], radius: int) -> np.ndarray:
    """Pair by pair."""
    h, w = grid
    mask = np.zeros((h * w, h * w))
    for y in range(h):
        for x in range(w):
            for near_y in range(max(0, y - radius), min(h, y + radius + 1)):
                for near_x in range(max(0, x - radius), min(w, x + radius + 1)):
                    mask[y * w + x, near_y * w + near_x] = 1
    return mask


def loop_labels(label: Tensor, grid: tuple[int, int], mask: np.ndarray) -> Tensor:
    """Image by image."""
    cells = F.interpolate(label[:, None].float(), size=grid, mode='nearest').flatten(1)
    near, count = torch.from_numpy(mask), cells.shape[1]
    out = torch.ones(len(label), count, count, dtype=torch.long)
    for target, line in zip(out, cells, strict=True):
        repeated = line[None].repeat(count, 1)
        target[:] = (repeated == repeated.T).long()
        target[near == 0] = IGNORE
        target[:, line == IGNORE] = IGNORE
        target[line == IGNORE, :] = IGNORE
    return out


def same(expected: Tensor, result: Tensor) -> None:
    assert torch.equal(result.long(), expected.long()), 'the results differ'


def main() -> None:
    args = parse(__doc__)
    torch.manual_seed(0)
    report = Report(__file__)
    coarse = torch.randint(0, 5, (BATCH, 8, 8))
    label = coarse.masked_fill(coarse == 4, IGNORE)
    label = label.repeat_interleave(CROP // 8, 1).repeat_interleave(CROP // 8, 2)
    for grid in GRIDS[:1] if args.quick else GRIDS:
        mask = loop_radius_mask(grid, RADIUS)
        ours = partial(affinity_label, label, grid, RADIUS)
        rows = {
            'radius mask': (
                'loop over all near pairs',
                lambda grid=grid: torch.from_numpy(loop_radius_mask(grid, RADIUS)).bool(),
                partial(radius_mask, grid, RADIUS),
            ),
            f'labels of {BATCH} images, mask included': (
                'loops over near pairs and images',
                lambda grid=grid: loop_labels(label, grid, loop_radius_mask(grid, RADIUS)),
                ours,
            ),
            f'labels of {BATCH} images': (
                'loop over the images, with a ready mask',
                partial(loop_labels, label, grid, mask),
                ours,
            ),
        }
        for name, (baseline, slow, fast) in rows.items():
            cells = f'{grid[0]} x {grid[1]} cells'
            report.compare(f'{name}, {cells}', baseline, slow, fast, same, args.repeat)
    report.close()


if __name__ == '__main__':
    main()
