"""Speed of AffinityNet's random walk and of its training loss on pairs (PSA).

Baselines: the official formulation, that is ``logt`` squarings of the dense N x N transition matrix
with 21 rows of scores, and two gathers of all features of all pairs.

    python benchmarks/random_walk.py [--threads 1] [--repeat 3] [--device cpu]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
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
WALK_GRID = (47, 63)  # of an image of 375 x 500 pixels
LOSS_GRID, BATCH = (56, 56), 2  # of a crop of 448 pixels


def measure(function: Callable[[], Tensor], repeat: int) -> tuple[float, Tensor]:
    """Median seconds behind a first run, and the result."""
    seconds = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        result = function()
        if result.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), result


def dense_walk(scores: Tensor, affinity: Tensor) -> Tensor:
    """All 21 rows, absent classes as zeros."""
    rows = scores.new_zeros(1, 21, scores.shape[-2] * scores.shape[-1])
    rows[:, : 1 + CLASSES] = scores.flatten(2)
    power = transition_power(dense_affinity(affinity, WALK_GRID, RADIUS))
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


def report(name: str, baseline: Callable, ours: Callable, repeat: int) -> None:
    """Print both times; the results have to agree."""
    slow, expected = measure(baseline, repeat)
    fast, result = measure(ours, repeat)
    difference = ((result - expected).abs().max() / expected.abs().max()).item()
    assert difference <= 1e-4, f'{name}: the results differ by {difference} of the largest value'
    print(f'{name}: {slow:.3f} s, mmwsss {fast:.3f} s, ratio {slow / fast:.1f}', end='')
    print(f' (difference {difference:.0e} of the maximum)')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)
    print(f'{device}, threads {args.threads}')

    features = torch.randn(1, CHANNELS, *WALK_GRID, device=device) / 4
    affinity = pixel_affinity(features, RADIUS)
    scores = torch.rand(1, 1 + CLASSES, *WALK_GRID, device=device)
    report(
        f'random walk, 2^8 steps, grid {WALK_GRID}, {CLASSES} classes',
        lambda: dense_walk(scores, affinity),
        lambda: random_walk(scores, affinity, RADIUS),
        args.repeat,
    )

    features = torch.randn(BATCH, CHANNELS, *LOSS_GRID, device=device) / 4
    label = torch.randint(0, 3, (BATCH, *LOSS_GRID), device=device)
    report(
        f'loss and gradient of the pairs, batch {BATCH}, grid {LOSS_GRID}',
        lambda: loss_gradient(gathered_affinity, features, label),
        lambda: loss_gradient(lambda f: pixel_affinity(f, RADIUS), features, label),
        args.repeat,
    )


if __name__ == '__main__':
    main()
