"""Speed of PMM's own steps: labels of crops, masks by shares, maps from crops.

Baselines: the official order of work. Labels of crops: pixels counted for every class at every try.
Masks: lattices built for every class, ours, and pydensecrf's (the official ones) if it is
installed. Maps: one pass at a time, all 20 classes brought to the size of the network's input and
of the box, then multiplied by the label. The last row has the real network, whose baseline is its
forward passes alone.

    python benchmarks/pmm.py [--repeat 3] [--quick]
"""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from _measure import Report, parse
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models import SEAM
from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores
from mmwsss.ops.multi_crop import crop_labels, multi_crop_cams, summed_areas, tile_boxes
from mmwsss.ops.multi_view import crop_pixels
from mmwsss.ops.ppmg import foreground_scores, proportional_label, smooth_activation
from mmwsss.registry import MODELS
from mmwsss.testing import smooth_pixels

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0)
CLASSES, PRESENT = 20, (3, 8, 14)


def blobs(size: tuple[int, int]) -> Tensor:
    """Soft maps of three classes in [0, 1]."""
    coarse = torch.rand(1, len(PRESENT), 4, 5, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size, mode='bicubic')[0].clamp(0, 1)


def counted(scores: Tensor, boxes: Tensor) -> list[list[bool]]:
    """``update_label`` at every try."""
    out = []
    for y0, y1, x0, x1 in boxes.tolist():
        row = []
        for heat in scores:
            confident = heat > 0.9
            total, inside = confident.sum().item(), confident[y0:y1, x0:x1].sum().item()
            area = (y1 - y0) * (x1 - x0)
            row.append(total > 0 and (inside / total > 0.1 or inside / area > 0.1))
        out.append(row)
    return out


def by_tables(scores: Tensor, boxes: Tensor) -> list[list[bool]]:
    return crop_labels(summed_areas(scores > 0.9), boxes).tolist()


def mask_by_class(backend: str, image: Tensor, cams: Tensor) -> Tensor:
    scores = foreground_scores(smooth_activation(cams))
    posterior = [DenseCRF(image, 'pmm', backend)(unary_from_scores(one))[1] for one in scores]
    return proportional_label(cams, torch.stack(posterior) > 0.5, torch.tensor(PRESENT))


def mask_at_once(image: Tensor, cams: Tensor) -> Tensor:
    scores = foreground_scores(smooth_activation(cams))
    foreground = DenseCRF(image, 'pmm').binary(scores) > 0.5
    return proportional_label(cams, foreground, torch.tensor(PRESENT))


def one_pass_at_a_time(raw: Sequence[Tensor], boxes: Tensor, size, crop: int) -> Tensor:
    """``raw`` ``(1, 20, h, w)`` are what the network gives, twice for every box."""
    label = torch.zeros(CLASSES, 1, 1)
    label[list(PRESENT)] = 1
    total, count = torch.zeros(CLASSES, *size), torch.zeros(size)
    for i, maps in enumerate(raw):
        y0, y1, x0, x1 = boxes[i // 2].tolist()
        maps = F.interpolate(maps, (crop, crop), mode='bilinear', align_corners=True)
        maps = F.interpolate(maps, (y1 - y0, x1 - x0), mode='bilinear')[0] * label
        total[:, y0:y1, x0:x1] += maps.flip(-1) if i % 2 else maps
        count[y0:y1, x0:x1] += 1
    mean = (total / count)[list(PRESENT)]
    low, high = mean.amin((1, 2), keepdim=True), mean.amax((1, 2), keepdim=True)
    return (mean.masked_fill(mean < low + 1e-5, 0) - low) / (high - low + 1e-5)


def merged(raw: Sequence[Tensor], boxes: Tensor, size, crop: int) -> Tensor:
    given = iter(raw)

    def forward(batch: Tensor) -> Tensor:
        return torch.cat([next(given)[:, list(PRESENT)] for _ in batch])

    batches = torch.empty(len(boxes), 3, 1, 1).split(4)
    return multi_crop_cams(forward, batches, boxes, size, crop)


def network(base_channels: int, crop: int, stride: int) -> SEAM:
    width = 8 * base_channels
    return MODELS.build(
        dict(
            type='mmwsss.SEAM',
            backbone=dict(
                type='mmwsss.ResNet38d',
                base_channels=base_channels,
                out_indices=(1, 2, 3),
                b7_dilation=2,
            ),
            decode_head=dict(
                type='mmwsss.PCMHead', in_channels=(width, 2 * width, 8 * width), num_classes=20
            ),
            data_preprocessor=dict(type='SegDataPreProcessor', mean=MEAN, std=STD),
            test_cfg=dict(scales=(1.0,), crop=crop, stride=stride, batch=2),
        )
    ).eval()


def bare_passes(model: SEAM, image: Tensor, boxes: Tensor) -> None:
    norm, crop = model.data_preprocessor, model.settings.crop
    crops = crop_pixels(image, boxes, (crop, crop), norm.mean, norm.std)
    for one in crops:
        model.maps(torch.stack([one, one.flip(-1)]))


def whole(model: SEAM, image: Tensor) -> None:
    labels = torch.zeros(1, CLASSES)
    labels[:, list(PRESENT)] = 1
    model.predict_maps(image[None], labels)


def equal(a, b) -> None:
    assert a == b, 'the labels differ'


def near(a: Tensor, b: Tensor) -> None:
    assert (a - b).abs().max() < 1e-4, f'the maps differ by {(a - b).abs().max():.0e}'


def agree(a: Tensor, b: Tensor) -> None:
    assert (a == b).float().mean() > 0.999, 'the masks differ'


@torch.no_grad()
def main() -> None:
    args = parse(__doc__)
    size, crop, stride = ((96, 128), 112, 75) if args.quick else ((375, 500), 448, 300)
    register_all_modules()
    torch.manual_seed(0)
    report, cams = Report(__file__), blobs(size)
    boxes = torch.cat(tile_boxes(size, SCALES, crop, stride))
    scores = cams / cams.amax((1, 2), keepdim=True)
    report.compare(
        f'labels of {len(boxes)} crops, {size[0]} x {size[1]}',
        'counted at every try',
        partial(counted, scores, boxes),
        partial(by_tables, scores, boxes),
        equal,
        args.repeat,
    )
    image = smooth_pixels(*size).permute(1, 2, 0).contiguous()
    for backend, baseline in (
        ('lattice', 'lattices for every class'),
        ('pydensecrf', 'pydensecrf for every class'),
    ):
        if backend == 'pydensecrf' and not find_spec(backend):
            continue
        report.compare(
            f'mask by shares, 3 classes, {size[0]} x {size[1]}',
            baseline,
            partial(mask_by_class, backend, image, cams),
            partial(mask_at_once, image, cams),
            agree,
            args.repeat,
        )
    side = crop // 8
    raw = torch.rand(2 * len(boxes), CLASSES, side, side).split(1)
    report.compare(
        f'maps from {2 * len(boxes)} crops without the network',
        'one pass at a time, all classes',
        partial(one_pass_at_a_time, raw, boxes, size, crop),
        partial(merged, raw, boxes, size, crop),
        near,
        args.repeat,
    )
    model = network(*((8, 112, 75) if args.quick else (64, 224, 150)))
    pixels = image.permute(2, 0, 1)[:, :224, :300]
    norm = model.data_preprocessor
    inputs = (pixels - norm.mean) / norm.std
    few = torch.cat(
        tile_boxes(inputs.shape[-2:], (1.0,), model.settings.crop, model.settings.stride)
    )
    report.compare(
        f'maps from {2 * len(few)} crops of {model.settings.crop} pixels, ResNet-38',
        'the forward passes alone',
        partial(bare_passes, model, inputs, few),
        partial(whole, model, inputs),
        lambda *_: None,
        1,
    )
    report.close()


if __name__ == '__main__':
    main()
