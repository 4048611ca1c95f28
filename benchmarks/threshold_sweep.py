"""One-pass threshold sweep against one evaluation per threshold (SEAM's and IRN's way).

python benchmarks/threshold_sweep.py [--repeat 3] [--quick] [--thresholds 60]
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from _measure import Report, parse
from torch import Tensor

from mmwsss.ops.confusion import sweep_matrices, threshold_histogram

CLASSES, SIZE, LABELS = 21, (375, 500), (1, 8, 14)


def loop_sweep(cam: Tensor, labels: Tensor, truth: Tensor, thresholds: Tensor) -> Tensor:
    """For every threshold an argmax over all classes, then three full-image counts per class."""
    scores = np.zeros((CLASSES, *SIZE), dtype=np.float32)
    scores[labels.numpy() + 1] = cam.numpy()
    truth, counts = truth.numpy(), []
    judged = truth < 255
    for threshold in thresholds.numpy():
        scores[0] = threshold
        pred = scores.argmax(0) * judged
        counts.append(
            [
                (
                    ((pred == c) & (truth == c) & judged).sum(),
                    ((pred == c) & judged).sum(),
                    ((truth == c) & judged).sum(),
                )
                for c in range(CLASSES)
            ]
        )
    return torch.tensor(np.array(counts))


def one_pass(cam: Tensor, labels: Tensor, truth: Tensor, thresholds: Tensor) -> Tensor:
    return sweep_matrices(threshold_histogram(cam, labels, truth, thresholds, CLASSES))


def same(counts: Tensor, matrices: Tensor) -> None:
    square = matrices[..., :-1]
    found = square.diagonal(dim1=1, dim2=2), square.sum(1), square.sum(2)
    assert torch.equal(torch.stack(found, -1), counts), 'the counts differ'


def main() -> None:
    args = parse(__doc__, thresholds=60)
    torch.manual_seed(0)
    noise = torch.rand(1, len(LABELS), 12, 16)
    cam = F.interpolate(noise, size=SIZE, mode='bicubic').clamp(0, 1)[0]
    labels = torch.tensor(LABELS)
    truth = F.pad(labels + 1, (1, 1), value=0)
    truth[-1] = 255
    truth = truth[torch.randint(len(truth), (1, 1, 8, 10))].float()
    truth = F.interpolate(truth, size=SIZE)[0, 0].byte()
    thresholds = torch.arange(args.thresholds).float() / 100
    report = Report(__file__)
    report.compare(
        f'{args.thresholds} thresholds, {len(LABELS)} maps of {SIZE[0]} x {SIZE[1]}',
        'one pass per threshold',
        partial(loop_sweep, cam, labels, truth, thresholds),
        partial(one_pass, cam, labels, truth, thresholds),
        same,
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
