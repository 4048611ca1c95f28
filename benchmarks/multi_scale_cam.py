"""Speed of multi-scale CAMs (ResNet-38d, four scales and their mirror images).

Baseline: the official order of work of PSA: one image and one view at a time, the maps of all 20
classes brought to the size of the image, then those of the absent classes thrown away.

    python benchmarks/multi_scale_cam.py [--base-channels 64] [--size 96 128] [--images 4]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models import CAMClassifier
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.multi_view import make_resize
from mmwsss.registry import MODELS

SCALES = (1.0, 0.5, 1.5, 2.0)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def build(base_channels: int) -> CAMClassifier:
    return MODELS.build(
        dict(
            type='mmwsss.CAMClassifier',
            backbone=dict(type='mmwsss.ResNet38d', base_channels=base_channels),
            decode_head=dict(type='mmwsss.CAMHead', in_channels=64 * base_channels, num_classes=20),
            data_preprocessor=dict(type='SegDataPreProcessor', mean=MEAN, std=STD),
            test_cfg=dict(scales=SCALES, flip=True),
        )
    ).eval()


def one_view_at_a_time(model: CAMClassifier, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Official order of work; ``labels`` multi-hot ``(B, 20)``."""
    size = images.shape[-2:]
    norm = model.data_preprocessor
    resize = make_resize('pil_cubic', norm.mean, norm.std)
    results = []
    for image, label in zip(images.split(1), labels, strict=True):
        total = 0
        for scale in SCALES:
            view = image if scale == 1 else resize(image, scale)
            for mirror in (False, True):
                cam = model.encode_decode(view.flip(-1) if mirror else view)
                cam = F.interpolate(cam, size, mode='bilinear', align_corners=False)[0]
                cam = cam * label[:, None, None]
                total = total + (cam.flip(-1) if mirror else cam)
        total = total[label > 0]
        results.append(total / (total.amax((1, 2), keepdim=True) + 1e-5))
    return results


def pairs(model: CAMClassifier, images: Tensor, labels: Tensor, group: int) -> list[Tensor]:
    """The shipped code on ``group`` images at a time."""
    results = []
    for batch, label in zip(images.split(group), labels.split(group), strict=True):
        views = model._views(batch)
        for i, row in enumerate(label):
            classes = row.nonzero().flatten()
            results.append(merge_cams((v[i, classes] for v in views), images.shape[-2:]))
    return results


def measure(function: Callable[[], list[Tensor]], repeat: int) -> tuple[float, list[Tensor]]:
    """Median seconds after one run to warm up, and the result."""
    result, seconds = function(), []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--base-channels', type=int, default=64)
    parser.add_argument('--size', type=int, nargs=2, default=(96, 128))
    parser.add_argument('--images', type=int, default=4)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    register_all_modules()
    torch.manual_seed(0)
    model = build(args.base_channels).to(args.device)
    pixels = torch.randint(0, 256, (args.images, 3, *args.size), device=args.device)
    images = (pixels - model.data_preprocessor.mean) / model.data_preprocessor.std
    labels = torch.zeros(args.images, 20, device=args.device)
    labels[:, [3, 14]] = 1
    print(f'{args.images} images of {args.size[0]}x{args.size[1]}, {args.base_channels} base '
          f'channels, {args.device}, {args.threads} threads')  # fmt: skip
    baseline, expected = measure(lambda: one_view_at_a_time(model, images, labels), args.repeat)
    print(f'one view at a time:              {baseline / args.images:.3f} s an image')
    for group in sorted({1, args.images}):
        seconds, found = measure(
            lambda group=group: pairs(model, images, labels, group), args.repeat
        )
        worst = max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))
        assert worst < 1e-3, worst
        print(f'pairs, {group} images of equal size: {seconds / args.images:.3f} s an image, ratio '
              f'{baseline / seconds:.2f}, largest difference {worst:.0e}')  # fmt: skip


if __name__ == '__main__':
    main()
