"""All pairs of thresholds of an image in one pass against WSSS-BED's rule for every pair.

python benchmarks/wsss_bed.py [--repeat 3] [--quick] [--grid 10]

The baseline is what its run.py does for a pair, without reading and writing PNGs: scores of all
classes and their argmax; then the confusion matrix of its evaluator.
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from _measure import Report, parse, peak_apart
from torch import Tensor

from mmwsss.ops.saliency.sweep import byte_thresholds, joint_histogram, sweep_confusions

PROBLEMS = {'VOC': (21, (375, 500), (1, 14)), 'COCO': (81, (480, 640), (0, 45, 79))}


def make(classes: int, size: tuple[int, int], labels: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Maps, their classes, saliency and truth."""
    torch.manual_seed(0)

    def smooth(count: int) -> Tensor:
        maps = F.interpolate(torch.rand(1, count, 9, 12), size=size, mode='bicubic')[0]
        return (maps.clamp(0, 1) * 255).byte()

    maps, (saliency, ignored), labels = smooth(len(labels)), smooth(2), torch.tensor(labels)
    truth = torch.where(saliency > 120, labels[maps.long().argmax(0)] + 1, 0).byte()
    return maps, labels, saliency, truth.masked_fill(ignored > 240, 255)


def official_grid(
    maps: Tensor, labels: Tensor, saliency: Tensor, truth: Tensor, taus, thresholds, classes: int
) -> np.ndarray:
    """The published rule and evaluator for every pair of thresholds."""
    maps, saliency, truth = maps.numpy(), saliency.numpy(), truth.numpy()
    grid = np.empty((len(taus), len(thresholds), classes, classes), np.int64)
    for i, tau in enumerate(taus):
        for j, threshold in enumerate(thresholds):
            scores = np.zeros((classes, *truth.shape), np.float32)
            salient = np.float32(saliency) / 255
            scores[0] = 1 - np.float32(salient > threshold)
            for c, values in zip(labels.tolist(), maps, strict=True):
                activation = np.float32(values) / 255
                scores[c + 1] = np.where(activation < tau, 0, activation)
            label = scores.argmax(0)
            judged = truth < classes
            keys = classes * truth[judged].astype(int) + label[judged]
            grid[i, j] = np.bincount(keys, minlength=classes**2).reshape(classes, classes)
    return grid


def one_pass(
    maps: Tensor, labels: Tensor, saliency: Tensor, truth: Tensor, taus, thresholds, classes: int
) -> Tensor:
    """Ours: counts of the image, and the matrices of its pairs."""
    rows, columns, counts = joint_histogram(
        maps, labels, saliency, truth, taus, thresholds, num_classes=classes
    )
    total = torch.zeros(classes, classes, *counts.shape[2:], dtype=torch.int64)
    total[rows[:, None], columns] += counts
    return sweep_confusions(total)


def count_only(maps: Tensor, labels: Tensor, saliency: Tensor, truth: Tensor, classes: int):
    """Counts that hold all 65 536 pairs of bytes."""
    every = byte_thresholds()
    return joint_histogram(maps, labels, saliency, truth, every, every[1:], num_classes=classes)


def same(grid: np.ndarray, matrices: Tensor) -> None:
    assert (matrices[..., :-1].numpy() == grid).all(), 'the matrices differ'
    assert not matrices[..., -1].any()


def main() -> None:
    args = parse(__doc__, grid=10)
    steps = 2 if args.quick else args.grid
    taus = (torch.arange(steps) / steps).float()
    thresholds = (torch.arange(1, steps + 1) / (steps + 1)).float()
    report = Report(__file__)
    for name, (classes, size, labels) in PROBLEMS.items():
        image = make(classes, size, labels)
        pairs = taus.numpy(), thresholds.numpy()
        ours = partial(one_pass, *image, taus, thresholds, classes)
        report.compare(
            f'{name}, {len(labels)} maps of {size[0]} x {size[1]}, {steps} x {steps} thresholds',
            "WSSS-BED's rule and evaluator for every pair",
            partial(official_grid, *image, *pairs, classes),
            ours,
            same,
            args.repeat,
        )
        every = partial(count_only, *image, classes)
        for what, function in (('one grid', ours), ('all 65536 pairs', every)):
            print(f'  {what}: peak of its own process +{peak_apart(function, ours):.0f} MiB')
    report.close()


if __name__ == '__main__':
    main()
