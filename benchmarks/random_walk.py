"""Speed of AffinityNet's random walk and of its training loss on pairs (PSA).

Baselines: the official formulation, that is ``logt`` squarings of the dense N x N transition matrix
with 21 rows of scores, and two gathers of all features of all pairs.

    python benchmarks/random_walk.py [--repeat 3] [--quick]
"""

from collections.abc import Callable
from functools import partial

import torch
from _measure import Report, parse
from torch import Tensor

from mmwsss.ops.pixel_affinity import (
    dense_affinity,
    pair_affinity_loss,
    pair_indices,
    pair_labels,
    pixel_affinity,
    random_walk,
    transition_power,
)

RADIUS, CHANNELS, CLASSES = 5, 448, 2
WALK_GRID, SMALL_GRID = (47, 63), (20, 27)  # of an image of 375 x 500 pixels
LOSS_GRID, BATCH = (56, 56), 2  # of a crop of 448 pixels


def dense_walk(scores: Tensor, affinity: Tensor) -> Tensor:
    """All 21 rows, absent classes as zeros."""
    grid = tuple(scores.shape[-2:])
    rows = scores.new_zeros(1, 21, grid[0] * grid[1])
    rows[:, : 1 + CLASSES] = scores.flatten(2)
    power = transition_power(dense_affinity(affinity, grid, RADIUS))
    return (rows @ power)[:, : 1 + CLASSES].view_as(scores)


def gathered_affinity(features: Tensor) -> Tensor:
    """Features of both pixels of all pairs, gathered."""
    source, target = pair_indices(features.shape[-2:], RADIUS, features.device)
    flat = features.flatten(2)
    at_source = flat.index_select(2, source)[:, :, None]
    at_target = flat.index_select(2, target.flatten()).unflatten(2, target.shape)
    return (at_source - at_target).abs().mean(dim=1).neg().exp()


def loss_gradient(affinity_of: Callable, features: Tensor, label: Tensor) -> Tensor:
    """Gradient of the loss with regard to the features."""
    features = features.detach().requires_grad_()
    affinity = affinity_of(features)
    background, foreground, negative = pair_affinity_loss(affinity, pair_labels(label, RADIUS))
    (background / 4 + foreground / 4 + negative / 2).backward()
    return features.grad


def same(expected: Tensor, result: Tensor) -> None:
    difference = ((result - expected).abs().max() / expected.abs().max()).item()
    assert difference <= 1e-4, f'the results differ by {difference} of the largest value'


def main() -> None:
    args = parse(__doc__)
    torch.manual_seed(0)
    report = Report(__file__)

    grid = SMALL_GRID if args.quick else WALK_GRID
    affinity = pixel_affinity(torch.randn(1, CHANNELS, *grid) / 4, RADIUS)
    scores = torch.rand(1, 1 + CLASSES, *grid)
    report.compare(
        f'random walk, 256 steps, grid {grid[0]} x {grid[1]}, {CLASSES} classes',
        'squaring the N x N matrix 8 times',
        lambda: dense_walk(scores, affinity),
        lambda: random_walk(scores, affinity, RADIUS),
        same,
        args.repeat,
    )

    grid = SMALL_GRID if args.quick else LOSS_GRID
    features = torch.randn(BATCH, CHANNELS, *grid) / 4
    label = torch.randint(0, 3, (BATCH, *grid))
    report.compare(
        f'loss and gradient of the pairs, batch {BATCH}, grid {grid[0]} x {grid[1]}',
        'gathered features of all pairs',
        partial(loss_gradient, gathered_affinity, features, label),
        partial(loss_gradient, partial(pixel_affinity, radius=RADIUS), features, label),
        same,
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
