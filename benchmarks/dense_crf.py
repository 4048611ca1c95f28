"""Dense CRF against pydensecrf: ``python benchmarks/dense_crf.py [--images DIR]``.

Images of 375 x 500 (photographs of a folder, or rendered texture), 3 and 21 labels, 10 iterations.
On one core the two take turns on every image, and the median ratio of their times is printed with
their agreement. On all cores pydensecrf, which has no threads, works on one image; ours works on
one image, and on a batch, whose images the threads share.
Peak memory is that of a fresh process each.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from _measure import PeakMemory
from PIL import Image
from torch import Tensor

from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores

SIZE = (375, 500)
PRESETS = ('psa', 'afa', 'deeplabv2')


def read_images(folder: str | None, count: int) -> list[Tensor]:
    """Photographs in landscape format, or noise of several scales."""
    if folder is None:
        return [texture(seed) for seed in range(count)]
    paths = sorted(p for p in Path(folder).rglob('*') if p.suffix.lower() in ('.jpg', '.png'))
    images = []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        image = Image.open(path).convert('RGB')
        if image.width < image.height:
            image = image.transpose(Image.Transpose.ROTATE_90)
        images.append(torch.from_numpy(np.array(image.resize(SIZE[::-1], Image.BICUBIC))))
    return images


def texture(seed: int) -> Tensor:
    """uint8 ``(H, W, 3)``: noise of four scales."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, *SIZE)
    for cells, strength in ((4, 90), (16, 40), (64, 20), (256, 8)):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        image += strength * F.interpolate(noise, size=SIZE, mode='bicubic')
    return (image[0] + 120).clamp(0, 255).byte().permute(1, 2, 0).contiguous()


def energies(num_labels: int) -> Tensor:
    """Unary energies of smooth probabilities."""
    generator = torch.Generator().manual_seed(num_labels)
    logits = 12 * torch.rand(1, num_labels, 12, 16, generator=generator)
    scores = F.interpolate(logits, size=SIZE, mode='bilinear')[0].softmax(dim=0)
    return unary_from_scores(scores)


def timed(image: Tensor, unary: Tensor, preset: str, backend: str) -> tuple[float, Tensor]:
    start = time.perf_counter()
    posterior = DenseCRF(image, preset, backend)(unary)
    return time.perf_counter() - start, posterior


def compare(images: list[Tensor], num_labels: int, preset: str) -> str:
    """One line of the table."""
    unary = energies(num_labels)
    timed(images[0], unary, preset, 'lattice')  # compile
    times, worst, equal = [], 0.0, 1.0
    for image in images:
        theirs, expected = timed(image, unary, preset, 'pydensecrf')
        ours, posterior = timed(image, unary, preset, 'lattice')
        times.append((theirs, ours))
        worst = max(worst, float((posterior - expected).abs().max()))
        equal = min(equal, float((posterior.argmax(0) == expected.argmax(0)).float().mean()))
    theirs, ours = np.array(times).T
    return (
        f'{preset:10} {num_labels:3} labels: pydensecrf {np.median(theirs):.3f} s, mmwsss '
        f'{np.median(ours):.3f} s, ratio {np.median(theirs / ours):.2f}; max |dQ| {worst:.1e}, '
        f'argmax equal {100 * equal:.3f} %'
    )


def throughput(images: list[Tensor], num_labels: int, preset: str, threads: int) -> str:
    """A batch of ours on all threads against pydensecrf image by image."""
    unary = energies(num_labels)
    batch, unaries = torch.stack(images), unary.expand(len(images), -1, -1, -1)
    timed(batch[:threads], unaries[:threads], preset, 'lattice')
    theirs = sum(timed(image, unary, preset, 'pydensecrf')[0] for image in images)
    ours, _ = timed(batch, unaries, preset, 'lattice')
    return f'{preset:10} {num_labels:3} labels: batch of {len(images)}, ratio {theirs / ours:.2f}'


def peak_memory(num_labels: int, preset: str, backend: str) -> float:
    """MiB that a fresh process needs for the CRF beyond what it needs before."""
    command = [sys.executable, __file__, '--memory', str(num_labels), preset, backend]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_memory(num_labels: int, preset: str, backend: str) -> None:
    unary, image = energies(num_labels), texture(0)
    small = image[:40, :50].contiguous(), unary[:, :40, :50].contiguous()
    timed(*small, preset, backend)  # load and compile
    with PeakMemory() as memory:
        timed(image, unary, preset, backend)
    print(memory.peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', help='folder of photographs (default: rendered texture)')
    parser.add_argument('--count', type=int, default=7, help='number of images')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--memory', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        return print_memory(int(args.memory[0]), *args.memory[1:])
    images = read_images(args.images, args.count)
    for threads in sorted({1, args.threads}):
        torch.set_num_threads(threads)
        print(f'{threads} thread(s) of mmwsss, {len(images)} images of {SIZE}')
        for preset in PRESETS:
            for num_labels in (3, 21):
                print(compare(images, num_labels, preset), flush=True)
                if threads > 1:
                    print(throughput(images, num_labels, preset, threads), flush=True)
    for num_labels in (3, 21):
        memory = [peak_memory(num_labels, 'psa', b) for b in ('pydensecrf', 'lattice')]
        print(f'peak memory, {num_labels} labels: pydensecrf +{memory[0]:.0f} MiB, '
              f'mmwsss +{memory[1]:.0f} MiB')  # fmt: skip


if __name__ == '__main__':
    main()
