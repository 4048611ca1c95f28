"""Speed of multi-scale CAMs (ResNet-38d, four scales and their mirror images).

Baseline: the official order of work of PSA: one image and one view at a time, the maps of all 20
classes brought to the size of the image, then those of the absent classes thrown away.

    python benchmarks/multi_scale_cam.py [--repeat 3] [--quick] [--images 4]
"""

from functools import partial

import torch
import torch.nn.functional as F
from _measure import Report, parse
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models import CAMClassifier
from mmwsss.ops.multi_view import make_resize
from mmwsss.registry import MODELS

SIZE = (96, 128)
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
        maps = model.predict_maps(batch, label)
        results += [
            cams[classes >= 0] for cams, classes in zip(maps.cams, maps.classes, strict=True)
        ]
    return results


def same(expected: list[Tensor], found: list[Tensor]) -> None:
    worst = max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))
    assert worst < 1e-3, f'the maps differ by {worst:.0e}'


@torch.no_grad()
def main() -> None:
    args = parse(__doc__, images=4)
    base_channels, count = (8, 2) if args.quick else (64, args.images)
    register_all_modules()
    torch.manual_seed(0)
    model = build(base_channels)
    norm = model.data_preprocessor
    images = (torch.randint(0, 256, (count, 3, *SIZE)) - norm.mean) / norm.std
    labels = torch.zeros(count, 20)
    labels[:, [3, 14]] = 1
    report = Report(__file__)
    for group in sorted({1, count}):
        report.compare(
            f'{count} images of {SIZE[0]} x {SIZE[1]}, {group} at a time',
            'one view at a time',
            partial(one_view_at_a_time, model, images, labels),
            partial(pairs, model, images, labels, group),
            same,
            args.repeat,
        )
    report.close()


if __name__ == '__main__':
    main()
