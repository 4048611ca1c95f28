"""Speed of WeakCLIP at ViT-B/16 size: masks of an image, training steps, and writing masks.

Baselines: one window at a time with the text tower in each, and the bare tower, neck and head; a
step with gradients through tower and text; probabilities that pass through a file.

    python benchmarks/weakclip.py [--repeat 3] [--quick]
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _measure import Report, parse, peak_apart
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.segmentors import WeakCLIP
from mmwsss.models.utils.crf import present_classes
from mmwsss.ops.dense_crf import dense_crf
from mmwsss.ops.multi_view.windows import slide
from mmwsss.ops.pixels import crf_image
from mmwsss.registry import MODELS
from mmwsss.utils.io import write_mask

TOGETHER = 2  # a window and its mirror image: more of them at a time pay on a GPU only
CONFIGS = Path(__file__).parents[1] / 'configs/segmentation'


def build(name: str) -> WeakCLIP:
    """The network of a config with random weights."""
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    model.backbone.checkpoint = 'random'
    model.drop_path = 0.0
    return MODELS.build(model)


@torch.no_grad()
def one_at_a_time(model: WeakCLIP, view: Tensor, crop: int, stride: int) -> Tensor:
    """Every window and mirror image by itself, texts encoded for each."""

    def forward(window: Tensor) -> Tensor:
        model._texts = None
        return model.encode_decode(window)

    both = [slide(forward, x, (crop, crop), (stride, stride), 1) for x in (view, view.flip(-1))]
    return both[0] + both[1].flip(-1)


@torch.no_grad()
def batched(model: WeakCLIP, view: Tensor, crop: int, stride: int) -> Tensor:
    """Windows and mirror images together, texts as they are kept."""
    views = torch.cat([view, view.flip(-1)])
    logits = slide(model.encode_decode, views, (crop, crop), (stride, stride), TOGETHER)
    return logits[:1] + logits[1:].flip(-1)


@torch.no_grad()
def bare(model: WeakCLIP, view: Tensor, crop: int, stride: int) -> Tensor:
    """Tower, adapter, neck and head alone, on the same windows."""
    request = CLIPRequest(last=True, projected=True, double_class=True)
    count = model.decode_head.num_classes

    def forward(windows: Tensor) -> Tensor:
        maps = model.backbone.encode(windows, request).patch_maps()
        levels = model.adapter([maps[i] for i in model.out_indices])
        levels = [torch.cat([x, x[:, :count]], 1) for x in levels]
        return model.decode_head(model.neck(levels))

    views = torch.cat([view, view.flip(-1)])
    return slide(forward, views, (crop, crop), (stride, stride), TOGETHER)


def step(model: WeakCLIP, inputs: Tensor, label: Tensor) -> None:
    """Forward and backward."""
    levels, scores = model.fuse(*model.extract_feat(inputs))
    losses = model.losses(levels, scores, label, model.loss_images(inputs))
    sum(losses.values()).backward()
    model.zero_grad()


def one_step(name: str, batch: int, crop: int) -> None:
    """A training step of a config from nothing, for a process of its own."""
    register_all_modules()
    init_default_scope('mmseg')
    step(
        build(name).train(),
        torch.randn(batch, 3, crop, crop),
        torch.zeros(batch, crop, crop).long(),
    )


def same(expected: Tensor, found: Tensor) -> None:
    worst = (expected - found).abs().max().item()
    print(f'largest difference of the logits {worst:.1e}')
    assert worst < 1e-3, 'the logits differ'


def write_by_files(prob: Tensor, image: Tensor, folder: Path) -> np.ndarray:
    """As the official scripts: probabilities and labels to a file, read again for the CRF."""
    label = prob.argmax(0)
    keys = label.unique()
    content = dict(prob=prob[keys].numpy(), keys=keys.numpy(), pred=label[None].numpy())
    np.savez(folder / 'a.npz', **content)
    with np.load(folder / 'a.npz', allow_pickle=False) as file:
        prob, keys = torch.from_numpy(file['prob']), file['keys']
    mask = keys[dense_crf(image, prob, preset='weakclip').argmax(0).numpy()].astype(np.uint8)
    write_mask(folder / 'a.png', mask)
    return mask


def write_at_once(prob: Tensor, image: Tensor, folder: Path) -> np.ndarray:
    """Probabilities, CRF and the mask in one pass."""
    keys = present_classes(prob)
    mask = keys[dense_crf(image, prob[keys], preset='weakclip').argmax(0)].numpy().astype(np.uint8)
    write_mask(folder / 'b.png', mask)
    return mask


def equal_masks(expected: np.ndarray, found: np.ndarray) -> None:
    assert np.array_equal(expected, found), 'the masks differ'


def main() -> None:
    args = parse(__doc__)
    register_all_modules()
    init_default_scope('mmseg')
    torch.manual_seed(0)
    crop, stride, size = (64, 43, (96, 128)) if args.quick else (512, 341, (512, 683))
    report = Report(__file__)
    frozen, unfrozen = 'weakclip_vit-b16_voc', 'weakclip_vit-b16-unfrozen_voc'
    model, coco = build(frozen).eval(), build('weakclip_vit-b16_coco').eval()
    view = torch.randn(1, 3, *size)
    what = f'an image of {size[0]} x {size[1]} and its mirror image, windows of {crop}'
    one = 'one window at a time, texts encoded for each'
    for name, network, baseline, function, check in (
        ('21 classes', model, one, one_at_a_time, same),
        ('81 classes', coco, one, one_at_a_time, same),
        ('21 classes', model, 'bare tower, neck and head', bare, lambda *_: None),
    ):
        report.compare(
            f'logits of {what}, {name}',
            baseline,
            partial(function, network, view, crop, stride),
            partial(batched, network, view, crop, stride),
            check,
            args.repeat,
        )
    batch = 1 if args.quick else 2
    inputs = torch.randn(batch, 3, crop, crop)
    label = torch.randint(0, 21, (batch, crop, crop))
    report.compare(
        f'training step, {batch} crops of {crop}',
        'gradients through tower and texts (official)',
        partial(step, build(unfrozen).train(), inputs, label),
        partial(step, model.train(), inputs, label),
        lambda *_: None,
        args.repeat,
    )
    peaks = (
        peak_apart(partial(one_step, name, batch, crop), partial(one_step, name, 1, 64))
        for name in (unfrozen, frozen)
    )
    print(
        '  peak of a process each: gradients through all +{:.0f}, frozen +{:.0f} MiB'.format(*peaks)
    )
    size = (60, 80) if args.quick else (375, 500)
    prob = torch.nn.functional.interpolate(3 * torch.randn(1, 21, 6, 8), size=size, mode='bicubic')[
        0
    ].softmax(0)
    norm = model.data_preprocessor
    image = crf_image(torch.randn(3, *size), norm.mean, norm.std)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report.compare(
            f'CRF and mask of an image of {size[0]} x {size[1]}',
            'by a file of probabilities (official)',
            partial(write_by_files, prob, image, folder),
            partial(write_at_once, prob, image, folder),
            equal_masks,
            args.repeat,
        )
        sizes = [(folder / file).stat().st_size for file in ('a.npz', 'b.png')]
        print(f'  bytes per image: {sizes[0]} by the file, {sizes[1]} for the mask')
    report.close()


if __name__ == '__main__':
    main()
