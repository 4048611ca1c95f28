"""Speed and memory of pixel-adaptive refinement: PAR (AFA's sizes) and PAMR (1-Stage's sizes).

Baseline: the official formulation. Dilated convolutions with one-hot kernels gather the neighbours
of all channels, ``(B, C, 48, H, W)``, in every round; they are multiplied by the weights and
summed. Two thresholds (AFA) are two calls, each with weights of its own; PAMR refines all 21
channels although only those of present classes are read. The memory
of each is that of a process of its own.

    python benchmarks/pixel_adaptive.py [--repeat 3] [--quick]
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from _measure import Report, parse, peak_apart
from torch import Tensor

from mmwsss.ops.pixel_adaptive import DILATIONS, pamr, pixel_adaptive_refine

PAR_BATCH, PAR_SIZE, PAR_ROUNDS = 2, 256, 10  # half of the crop of 512
PAMR_BATCH, PAMR_SIZE, PAMR_ROUNDS = 8, 81, 10  # a quarter of the crop of 321
PRESENT = 3  # background and two classes
ALL = 21


def inputs(batch: int, size: int, channels: int) -> tuple[Tensor, Tensor]:
    """A smooth noisy image in [0, 1] and scores."""
    torch.manual_seed(0)
    coarse = torch.rand(batch, 3, size // 16, size // 16)
    image = F.interpolate(coarse, size=(size, size), mode='bicubic', align_corners=False)
    image = (image + 0.05 * torch.randn(image.shape)).clamp(0, 1)
    return image, torch.randn(batch, channels, size, size).mul(2).softmax(1)


def gathered(x: Tensor, with_centre: bool = False) -> Tensor:
    """Neighbours by one-hot convolutions: ``(B, C, H, W)`` -> ``(B, C, n, H, W)``."""
    kernel = torch.eye(9).view(9, 1, 3, 3)
    if not with_centre:
        kernel = kernel[[0, 1, 2, 3, 5, 6, 7, 8]]
    flat = x.flatten(0, 1)[:, None]
    views = [
        F.conv2d(F.pad(flat, (d,) * 4, mode='replicate'), kernel, dilation=d) for d in DILATIONS
    ]
    return torch.cat(views, dim=1).view(*x.shape[:2], -1, *x.shape[2:])


def official_par(image: Tensor, masks: Tensor, rounds: int) -> Tensor:
    """PAR with all neighbours of all channels gathered in every round."""
    neighbours = gathered(image)
    distance = (neighbours - image[:, :, None]).abs()
    std = neighbours.std(dim=2, keepdim=True)
    colour = -((distance / (std + 1e-8) / 0.3) ** 2).mean(dim=1, keepdim=True)
    straight, diagonal = torch.tensor(DILATIONS).float(), torch.tensor(DILATIONS) * 2**0.5
    length = torch.stack([diagonal, straight] * 2 + [straight, diagonal] * 2, dim=1).flatten()
    position = -((length / (length.std() + 1e-8) / 0.3) ** 2)
    position = position.view(1, 1, -1, 1, 1).expand_as(colour)
    weights = colour.softmax(dim=2) + 0.01 * position.softmax(dim=2)
    for _ in range(rounds):
        masks = (gathered(masks) * weights).sum(dim=2)
    return masks


def official_pamr(image: Tensor, masks: Tensor, rounds: int) -> Tensor:
    """PAMR with all neighbours of all channels gathered in every round."""
    std = gathered(image, with_centre=True).std(dim=2, keepdim=True)
    distance = (gathered(image) - image[:, :, None]).abs() / (1e-8 + 0.1 * std)
    weights = (-distance.mean(dim=1, keepdim=True)).softmax(dim=2)
    for _ in range(rounds):
        masks = (gathered(masks) * weights).sum(dim=2)
    return masks


def run(refine: Callable, shape: tuple[int, int, int], used: int, calls: int = 1) -> Tensor:
    """Refine the first ``used`` channels ``calls`` times; the last result."""
    image, masks = inputs(*shape)
    for _ in range(calls):
        refined = refine(image, masks[:, :used])
    return refined[:, :PRESENT]


def run_shared(shape: tuple[int, int, int]) -> Tensor:
    """PAR of the scores of two thresholds as channels of one call."""
    image, masks = inputs(*shape)
    refined = pixel_adaptive_refine(image, masks.repeat(1, 2, 1, 1), iterations=PAR_ROUNDS)
    return refined[:, PRESENT:]


def same(expected: Tensor, result: Tensor) -> None:
    difference = (result - expected).abs().max().item()
    assert difference < 1e-4, f'the results differ by {difference}'


def main() -> None:
    args = parse(__doc__)
    report = Report(__file__)
    warm_up = partial(pixel_adaptive_refine, *inputs(1, 32, 1))
    par_size, pamr_batch = (64, 1) if args.quick else (PAR_SIZE, PAMR_BATCH)
    par = partial(pixel_adaptive_refine, iterations=PAR_ROUNDS)
    slow_par = partial(official_par, rounds=PAR_ROUNDS)
    fast_pamr = partial(pamr, iterations=PAMR_ROUNDS)
    slow_pamr = partial(official_pamr, rounds=PAMR_ROUNDS)
    shape, all_shape = (PAR_BATCH, par_size, PRESENT), (pamr_batch, PAMR_SIZE, ALL)
    par_name = f'PAR, {PAR_BATCH} images of {par_size} x {par_size}, {PRESENT} channels'
    pamr_name = f'PAMR, {pamr_batch} images of {PAMR_SIZE} x {PAMR_SIZE}'
    all_channels = partial(run, slow_pamr, all_shape, ALL)
    rows = {
        par_name: (partial(run, slow_par, shape, PRESENT), partial(run, par, shape, PRESENT)),
        f'{par_name}, two thresholds': (
            partial(run, slow_par, shape, PRESENT, calls=2),
            partial(run_shared, shape),
        ),
        f'{pamr_name}, {ALL} channels': (all_channels, partial(run, fast_pamr, all_shape, ALL)),
        f'{pamr_name}, the {PRESENT} present channels': (
            all_channels,
            partial(run, fast_pamr, all_shape, PRESENT),
        ),
    }
    for name, (slow, fast) in rows.items():
        report.compare(name, 'official formulation, 48-fold copies', slow, fast, same, args.repeat)
        if not args.quick:
            large, small = (peak_apart(function, warm_up) for function in (slow, fast))
            print(f'  peak in a process of its own: baseline +{large:.0f}, mmwsss +{small:.0f} MiB')
    report.close()


if __name__ == '__main__':
    main()
