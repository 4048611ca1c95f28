"""Speed of affinity labels: which pairs of a label map's cells are near, and of one class (AFA).

Baseline: the official formulation, a Python loop over all near pairs for the radius mask, and a
loop over the images for the labels. Training reuses the mask, so both are also timed without it.

    python benchmarks/affinity_label.py [--threads 1] [--repeat 3]
"""

import argparse
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from _measure import measure
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


def compare(name: str, baseline, ours, repeat: int) -> None:
    """Print times and peaks; the results have to be equal."""
    slow, large, expected = measure(baseline, repeat)
    fast, small, result = measure(ours, repeat)
    assert torch.equal(result, expected), f'{name}: the results differ'
    print(f'{name}: official formulation {slow * 1e3:.1f} ms, peak +{large:.0f} MiB; ', end='')
    print(f'mmwsss {fast * 1e3:.1f} ms, +{small:.0f} MiB; ratio {slow / fast:.1f}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeat', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    coarse = torch.randint(0, 5, (BATCH, 8, 8))
    label = coarse.masked_fill(coarse == 4, IGNORE)
    label = label.repeat_interleave(CROP // 8, 1).repeat_interleave(CROP // 8, 2)
    print(f'threads {args.threads}, batch {BATCH}, crop {CROP}, radius {RADIUS}')
    for grid in GRIDS:
        compare(
            f'grid {grid}, radius mask',
            lambda grid=grid: torch.from_numpy(loop_radius_mask(grid, RADIUS)).bool(),
            lambda grid=grid: radius_mask(grid, RADIUS),
            args.repeat,
        )
        ours = partial(affinity_label, label, grid, RADIUS)
        compare(
            f'grid {grid}, mask and labels (aim 10)',
            lambda grid=grid: loop_labels(label, grid, loop_radius_mask(grid, RADIUS)),
            ours,
            args.repeat,
        )
        mask = loop_radius_mask(grid, RADIUS)
        compare(
            f'grid {grid}, baseline with a ready mask',
            partial(loop_labels, label, grid, mask),
            ours,
            args.repeat,
        )


if __name__ == '__main__':
    main()
