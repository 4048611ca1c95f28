"""Confusion matrix of one image against mmseg's IoUMetric and a Python loop over the pixels.

python benchmarks/confusion.py [--repeat 10] [--quick] [--classes 81]
"""

from functools import partial

import torch
from _measure import Report, parse
from mmseg.evaluation import IoUMetric
from torch import Tensor

from mmwsss.ops.confusion import confusion_matrix

SIZE = (375, 500)


def pixel_loop(pred: Tensor, truth: Tensor, classes: int) -> Tensor:
    """1-stage-wseg's eval_seg.py."""
    counts = [[0] * (classes + 1) for _ in range(classes)]
    for p, t in zip(pred.flatten().tolist(), truth.flatten().tolist(), strict=True):
        if t < classes:
            counts[t][min(p, classes)] += 1
    return torch.tensor(counts)


def mmseg_areas(pred: Tensor, truth: Tensor, classes: int) -> list[Tensor]:
    areas = IoUMetric.intersect_and_union(pred.long(), truth.long(), classes, ignore_index=255)
    return [area.cpu() for area in areas]


def same_areas(areas: list[Tensor], matrix: Tensor) -> None:
    square = matrix[:, :-1]
    counts = square.diagonal(), None, square.sum(0), square.sum(1)
    for area, count in zip(areas, counts, strict=True):
        assert count is None or torch.equal(area.long(), count), 'mmseg counts otherwise'


def same_matrix(expected: Tensor, matrix: Tensor) -> None:
    assert torch.equal(matrix, expected), 'the matrix differs from the loop'


def main() -> None:
    args = parse(__doc__, repeat=10, classes=21)
    torch.manual_seed(0)
    truth = torch.randint(0, args.classes, SIZE).byte()
    pred = torch.where(torch.rand(SIZE) < 0.7, truth, torch.randint(0, args.classes, SIZE).byte())
    truth[torch.rand(SIZE) < 0.05] = 255
    report = Report(__file__)
    arguments = pred, truth, args.classes
    ours = partial(confusion_matrix, *arguments)
    name = f'{SIZE[0]} x {SIZE[1]}, {args.classes} classes'
    baseline = "mmseg's `IoUMetric`"
    report.compare(name, baseline, partial(mmseg_areas, *arguments), ours, same_areas, args.repeat)
    baseline, repeat = 'a loop over the pixels', min(args.repeat, 3)
    report.compare(name, baseline, partial(pixel_loop, *arguments), ours, same_matrix, repeat)
    report.close()


if __name__ == '__main__':
    main()
