"""Dense CRF against pydensecrf, which has no threads.

Images of 375 x 500 (photographs of a folder, or rendered texture), 3 and 21 labels, 10 iterations;
one image, and a batch, whose images the threads share. The agreement of both is printed, too. Peak
memory is that of a process of its own each.

    python benchmarks/dense_crf.py [--repeat 3] [--quick] [--images FOLDER] [--count 3]
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from _measure import Report, parse, peak_apart
from PIL import Image
from torch import Tensor

from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores

SIZE = (375, 500)
PRESETS = ('psa', 'afa', 'deeplabv2')


def read_images(folder: str, count: int) -> list[Tensor]:
    """Photographs in landscape format, or noise of several scales."""
    if not folder:
        return [texture(seed) for seed in range(count)]
    paths = sorted(p for p in Path(folder).rglob('*') if p.suffix.lower() in ('.jpg', '.png'))
    if not paths:
        raise SystemExit(f'error: there is no .jpg or .png file in {folder}')
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


def crf_of_each(images: list[Tensor], num_labels: int, preset: str, backend: str) -> Tensor:
    """Posteriors, image by image."""
    unary = energies(num_labels)
    return torch.stack([DenseCRF(image, preset, backend)(unary) for image in images])


def crf_of_batch(images: list[Tensor], num_labels: int, preset: str) -> Tensor:
    """Posteriors of ours, all images at once."""
    unary = energies(num_labels).expand(len(images), -1, -1, -1)
    return DenseCRF(torch.stack(images), preset, 'lattice')(unary)


def same(expected: Tensor, posterior: Tensor) -> None:
    worst = float((posterior - expected).abs().max())
    equal = float((posterior.argmax(1) == expected.argmax(1)).float().mean())
    print(f'max |dQ| {worst:.1e}, argmax equal {100 * equal:.3f} %')
    assert worst < 1e-2, f'the posteriors differ by {worst:.1e}'


def crop_of_each(num_labels: int, preset: str, backend: str) -> Tensor:
    """A small problem, for what is loaded and compiled only once."""
    image, unary = texture(0)[:40, :50].contiguous(), energies(num_labels)[:, :40, :50]
    return DenseCRF(image, preset, backend)(unary.contiguous())


def main() -> None:
    args = parse(__doc__, images='', count=3)
    images = read_images(args.images, 1 if args.quick else args.count)
    try:
        crop_of_each(3, 'psa', 'pydensecrf')
    except ImportError as error:
        raise SystemExit(f'dense_crf: {error}') from None
    report = Report(__file__)
    size = f'{SIZE[0]} x {SIZE[1]}'
    for preset in PRESETS[:1] if args.quick else PRESETS:
        for num_labels in (3, 21):
            setting = num_labels, preset
            rows: dict[str, tuple[list[Tensor], Callable]] = {
                f'one image of {size}': (images[:1], crf_of_each)
            }
            if len(images) > 1:
                rows[f'{len(images)} images of {size} at once'] = images, crf_of_batch
            for name, (used, function) in rows.items():
                ours = partial(function, used, *setting)
                report.compare(
                    f'{name}, `{preset}`, {num_labels} labels',
                    'pydensecrf',
                    partial(crf_of_each, used, *setting, 'pydensecrf'),
                    partial(ours, 'lattice') if function is crf_of_each else ours,
                    same,
                    args.repeat,
                )
            if preset == 'psa' and not args.quick:
                peaks = [
                    peak_apart(
                        partial(crf_of_each, images[:1], *setting, backend),
                        partial(crop_of_each, *setting, backend),
                    )
                    for backend in ('pydensecrf', 'lattice')
                ]
                print('  peak: pydensecrf +{:.0f}, mmwsss +{:.0f} MiB'.format(*peaks))
    report.close()


if __name__ == '__main__':
    main()
