"""Confusion matrix of one image against mmseg's IoUMetric and a Python loop over the pixels.

python benchmarks/confusion.py [--classes 81] [--device cuda]
"""

import argparse

import torch
from _measure import measure
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--classes', type=int, default=21)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    truth = torch.randint(0, args.classes, SIZE).byte()
    pred = torch.where(torch.rand(SIZE) < 0.7, truth, torch.randint(0, args.classes, SIZE).byte())
    truth[torch.rand(SIZE) < 0.05] = 255
    moved = pred.to(args.device), truth.to(args.device)

    loop, _, expected = measure(lambda: pixel_loop(pred, truth, args.classes), 1)
    theirs, _, areas = measure(lambda: mmseg_areas(*moved, args.classes), 10)
    ours, _, matrix = measure(lambda: confusion_matrix(*moved, args.classes).cpu(), 10)
    assert torch.equal(matrix, expected), 'the matrix differs from the loop'
    square = matrix[:, :-1]
    for area, count in zip(
        areas, (square.diagonal(), None, square.sum(0), square.sum(1)), strict=True
    ):
        assert count is None or torch.equal(area.long(), count), 'mmseg counts otherwise'
    print(f'one image of {SIZE}, {args.classes} classes, {args.device}')
    print(f'loop over the pixels (cpu): {loop * 1e3:.0f} ms')
    print(f'mmseg IoUMetric: {theirs * 1e3:.2f} ms')
    print(
        f'mmwsss: {ours * 1e3:.2f} ms; {loop / ours:.0f} and {theirs / ours:.1f} times faster, '
        'same counts'
    )


if __name__ == '__main__':
    main()
