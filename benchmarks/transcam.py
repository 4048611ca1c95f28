"""Speed of TransCAM at Conformer-S size: maps of an image, AVC's terms in a step, label maps.

Baselines: the forward passes of the same views with fused attention and nothing else; the whole
step; the CRF built anew for each of the two label maps.

    python benchmarks/transcam.py [--repeat 3] [--quick]
"""

from functools import partial
from pathlib import Path

import torch
from _measure import Report, parse
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models import TransCAM
from mmwsss.ops.dense_crf import DenseCRF, refine_labels
from mmwsss.ops.multi_view import make_resize, view_batches
from mmwsss.ops.pseudo_label import threshold_label
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_samples, noise, smooth_pixels, training_iteration

MODELS_DIR = Path(__file__).parents[1] / 'configs/_base_/models'
BACKGROUNDS = (0.6, 0.25)


def build(name: str, **test_cfg) -> TransCAM:
    """The network of a config with random weights."""
    model = Config.fromfile(MODELS_DIR / f'{name}.py').model
    model.test_cfg.update(test_cfg)
    torch.manual_seed(0)
    return MODELS.build(model)


@torch.no_grad()
def bare(model: TransCAM, image: Tensor) -> None:
    """The network on all views, nothing else."""
    cfg, norm = model.settings, model.data_preprocessor
    resize = make_resize(cfg.resize, norm.mean, norm.std)
    for view in view_batches(image, cfg.scales, cfg.flip, resize, cfg.sizes):
        model.decode_head.maps(model.extract_feat(view))


@torch.no_grad()
def maps(model: TransCAM, image: Tensor, labels: Tensor) -> Tensor:
    """Refined maps, merged over the views."""
    return model.predict_maps(image, labels).cams


def step(model: TransCAM, images: Tensor, samples: list) -> None:
    """Forward and backward, all terms on."""
    sum(model.loss(images, samples).values()).backward()
    model.zero_grad()


def terms(model: TransCAM, layers: list[Tensor], cams: Tensor, labels: Tensor) -> None:
    """Forward and backward of AVC's terms, down to the attention."""
    layers = [layer.detach().requires_grad_() for layer in layers]
    sum(model.consistency(layers, cams, labels, model.iteration).values()).backward()


def separate(image: Tensor, cams: Tensor) -> list[Tensor]:
    """A CRF for each label map."""
    classes = torch.arange(len(cams))[None]
    labels = (threshold_label(cams[None], classes, background)[0] for background in BACKGROUNDS)
    return [refine_labels(image, label, num_labels=21, preset='irn') for label in labels]


def together(image: Tensor, cams: Tensor) -> list[Tensor]:
    """One CRF for both, as :class:`mmwsss.stages.TwoLabelsFromCAMs`."""
    classes = torch.arange(len(cams))[None]
    labels = [threshold_label(cams[None], classes, background) for background in BACKGROUNDS]
    return list(DenseCRF(image, 'irn').refine_labels(torch.cat(labels), num_labels=21))


def equal(expected: list[Tensor], found: list[Tensor]) -> None:
    assert all(map(torch.equal, expected, found)), 'the label maps differ'


def main() -> None:
    args = parse(__doc__)
    register_all_modules()
    init_default_scope('mmseg')
    sizes, side, size = (256, 512, 768), 512, (375, 500)
    if args.quick:
        sizes, side, size = (64, 96), 64, (60, 80)
    report = Report(__file__)
    model = build('transcam', sizes=sizes).eval()
    norm = model.data_preprocessor
    image = noise(1, size, norm.mean.flatten().tolist(), norm.std.flatten().tolist())
    labels = torch.zeros(1, 20)
    labels[0, [3, 7]] = 1
    report.compare(
        f'maps of an image of {size[0]} x {size[1]}, sizes {", ".join(map(str, sizes))}, mirrored',
        'the bare forward passes',
        partial(bare, model, image),
        partial(maps, model, image, labels),
        lambda *_: None,
        args.repeat,
    )
    with torch.no_grad():
        sums = model.backbone.forward_with_attn(torch.randn(1, 3, sizes[-1], sizes[-1]))[1]
    kept = (sums.patch.nbytes + sums.class_patch.nbytes) / 1e6
    print(f'  attention kept for a view of {sizes[-1]}: {kept:.1f} MB')
    avc = build('avc').train()
    avc.consistency.region_start = 0
    samples = labelled_samples((3, 7), num_classes=20, size=(side, side))
    crop = torch.randn(1, 3, side, side)
    with torch.no_grad():
        features, layers = avc.backbone.forward_with_layers(torch.cat([crop, crop.flip(-1)]))
        cams = avc.decode_head.maps(features)
    with training_iteration():
        report.compare(
            f"AVC's terms, one crop of {side}",
            'the whole training step',
            partial(step, avc, crop, samples),
            partial(terms, avc, layers, cams, labels),
            lambda *_: None,
            args.repeat,
        )
    pixels = smooth_pixels(*size).permute(1, 2, 0).contiguous()
    cams = torch.nn.functional.interpolate(
        torch.rand(1, 2, 6, 8, generator=torch.Generator().manual_seed(0)),
        size=size,
        mode='bilinear',
    )[0]
    report.compare(
        f'two label maps of an image of {size[0]} x {size[1]}',
        'a CRF for each',
        partial(separate, pixels, cams),
        partial(together, pixels, cams),
        equal,
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
