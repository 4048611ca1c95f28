"""One-pass threshold sweep against one evaluation per threshold (SEAM's and IRN's way).

python benchmarks/threshold_sweep.py [--thresholds 60] [--device cuda]
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from _measure import measure
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--thresholds', type=int, default=60)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    noise = torch.rand(1, len(LABELS), 12, 16)
    cam = F.interpolate(noise, size=SIZE, mode='bicubic').clamp(0, 1)[0]
    labels = torch.tensor(LABELS)
    truth = F.pad(labels + 1, (1, 1), value=0)
    truth[-1] = 255
    truth = truth[torch.randint(len(truth), (1, 1, 8, 10))].float()
    truth = F.interpolate(truth, size=SIZE)[0, 0].byte()
    thresholds = torch.arange(args.thresholds).float() / 100

    slow, _, counts = measure(lambda: loop_sweep(cam, labels, truth, thresholds), 1)
    moved = [x.to(args.device) for x in (cam, labels, truth, thresholds)]
    fast, _, matrices = measure(lambda: one_pass(*moved).cpu(), 10)
    square = matrices[..., :-1]
    hit, predicted, real = square.diagonal(dim1=1, dim2=2), square.sum(1), square.sum(2)
    assert torch.equal(torch.stack([hit, predicted, real], -1), counts), 'the counts differ'
    print(f'{args.thresholds} thresholds, {len(LABELS)} maps of {SIZE}, {CLASSES} classes')
    print(f'one evaluation per threshold (cpu): {slow * 1e3:.1f} ms')
    print(f'one pass ({args.device}): {fast * 1e3:.2f} ms; ratio {slow / fast:.0f}; same counts')


if __name__ == '__main__':
    main()
