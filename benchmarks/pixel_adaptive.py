"""Speed and memory of pixel-adaptive refinement: PAR (AFA's sizes) and PAMR (1-Stage's sizes).

Baseline: the official formulation. Dilated convolutions with one-hot kernels gather the neighbours
of all channels, ``(B, C, 48, H, W)``, in every round; they are multiplied by the weights and
summed. Two thresholds (AFA) are two calls, each with weights of its own; PAMR refines all 21
channels although only those of present classes are read. Every measurement has its own process.

    python benchmarks/pixel_adaptive.py [--threads 1] [--repeat 3]
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from _measure import measure_apart
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


def compare(name: str, baseline: Callable, candidates: dict, aim: float, options: tuple) -> None:
    """Print times and peaks; the results have to agree."""
    slow, large, expected = measure_apart(baseline, *options)
    print(f'{name}\n  official formulation: {slow:.3f} s, peak +{large:.0f} MiB')
    for label, candidate in candidates.items():
        fast, small, result = measure_apart(candidate, *options)
        difference = (result - expected).abs().max().item()
        assert difference < 1e-4, f'{name}, {label}: the results differ by {difference}'
        print(
            f'  mmwsss, {label}: {fast:.3f} s, peak +{small:.0f} MiB; time ratio '
            f'{slow / fast:.1f} (aim {aim:g}), memory ratio {large / small:.1f} (aim 2), '
            f'difference {difference:.0e}'
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeat', type=int, default=3)
    args = parser.parse_args()
    options = args.threads, args.repeat, partial(pixel_adaptive_refine, *inputs(1, 32, 1))
    print(f'threads {args.threads}')

    par = partial(pixel_adaptive_refine, iterations=PAR_ROUNDS)
    slow_par = partial(official_par, rounds=PAR_ROUNDS)
    shape = PAR_BATCH, PAR_SIZE, PRESENT
    title = f'PAR, batch {PAR_BATCH}, {PRESENT} channels, {PAR_SIZE}^2, {PAR_ROUNDS} rounds'
    compare(
        f'{title}, one call',
        partial(run, slow_par, shape, PRESENT),
        {'one call': partial(run, par, shape, PRESENT)},
        4,
        options,
    )
    compare(
        f'{title}, two thresholds',
        partial(run, slow_par, shape, PRESENT, calls=2),
        {'shared weights': partial(run_shared, shape)},
        4,
        options,
    )
    fast_pamr = partial(pamr, iterations=PAMR_ROUNDS)
    slow_pamr = partial(official_pamr, rounds=PAMR_ROUNDS)
    shape = PAMR_BATCH, PAMR_SIZE, ALL
    compare(
        f'PAMR, batch {PAMR_BATCH}, {ALL} channels, {PAMR_SIZE}^2, {PAMR_ROUNDS} rounds',
        partial(run, slow_pamr, shape, ALL),
        {
            f'all {ALL} channels': partial(run, fast_pamr, shape, ALL),
            f'the {PRESENT} present channels': partial(run, fast_pamr, shape, PRESENT),
        },
        20,
        options,
    )


if __name__ == '__main__':
    main()
