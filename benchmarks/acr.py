"""Speed of ACR: maps of four scales and their mirror images, and a training step.

Baselines: the bare forward passes of the classifier on the same views (a ratio of 1 is the bound);
and the official order of work in a step, in which both networks own a generator, the weights of
the reconstructor's get gradients in the classifier's step as well, maps of all classes are
enlarged, and the classifier runs twice.

    python benchmarks/acr.py [--repeat 3] [--quick] [--crop 256]
"""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from _measure import Report, parse
from mmengine.config import Config
from torch import Tensor, nn

from mmwsss import register_all_modules
from mmwsss.models import ACR
from mmwsss.models.segmentors.acr import evaluating
from mmwsss.ops.multi_view import make_resize, view_batches
from mmwsss.registry import MODELS

MODEL = Path(__file__).parents[1] / 'configs/_base_/models/acr_resnet38.py'
SIZE = (96, 128)
LABELS = ((3, 14), (7,))


def build(width: int) -> ACR:
    """The shipped model with ``width`` channels in place of 64, without chance."""
    cfg = Config.fromfile(MODEL)
    cfg.merge_from_dict(
        {
            'model.backbone.base_channels': width,
            'model.backbone.init_cfg': None,
            'model.backbone.dropout': (0.0, 0.0),
            'model.decode_head.in_channels': 64 * width,
            'model.reconstructor.in_channels': (8 * width, 16 * width, 64 * width),
            'model.reconstructor.generator.base_channels': width,
            'model.reconstructor.generator.dropout': 0.0,
        }
    )
    return MODELS.build(cfg.model)


def bare_forwards(model: ACR, image: Tensor) -> None:
    """The classifier on all views; nothing is done with its maps."""
    norm = model.data_preprocessor
    resize = make_resize('pil_cubic', norm.mean, norm.std)
    for batch in view_batches(image, model.settings.scales, flip=True, resize=resize):
        model.classifier(batch)


def official_maximum(maps: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps of all classes, scaled and enlarged."""
    maps = maps.relu()
    low = maps.flatten(2).min(dim=-1)[0][..., None, None]
    high = maps.flatten(2).max(dim=-1)[0][..., None, None]
    maps = (maps - low - 1e-5).relu() / (high - low + 1e-5) * labels[..., None, None]
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False)


def official_l1(built: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    return F.l1_loss(built * mask, image * mask)


def official_step(
    model: ACR, image: Tensor, labels: Tensor, drawn: tuple[Tensor, Tensor]
) -> Tensor:
    """Losses and gradients of both steps in the official order; weights stay."""
    clear(model)
    targets, draws = drawn
    size, net, painter = image.shape[-2:], model.classifier, model.reconstructor
    hot = F.one_hot(targets, labels.shape[1]).bool()
    grid = F.interpolate((draws < model.erased_share).float(), size=size, mode='nearest')
    with evaluating(net), torch.no_grad():
        segment = official_maximum(net(image), labels, size)[hot][:, None]
        hidden, rest = segment * grid, (1 - segment) * grid
    maps, features = painter.encode(image)
    features = F.interpolate(features, size=size, mode='bilinear', align_corners=False)
    w = model.loss_weights
    first = (
        w['recon_cls'] * F.binary_cross_entropy_with_logits(maps.mean((2, 3)), labels)
        + w['recon_full'] * F.l1_loss(painter.generator(features.detach()), image)
        + w['recon_target'] * official_l1(painter.generator(features * (1 - hidden)), image, hidden)
        + w['recon_rest'] * official_l1(painter.generator(features * (1 - rest)), image, rest)
    )
    first.backward()
    with torch.no_grad():
        features = painter.encode(image)[1]
        features = F.interpolate(features, size=size, mode='bilinear', align_corners=False)
    maps = net(image)
    best = F.interpolate(maps, size=size, mode='bilinear', align_corners=False).argmax(1, True)
    segment = official_maximum(maps, labels, size)[hot][:, None]
    built = [painter.generator(features * part) for part in (segment, 1 - segment)]
    inside = segment.detach() * (best == targets[:, None, None, None])
    second = (
        w['cls'] * F.binary_cross_entropy_with_logits(maps.mean((2, 3)), labels)
        - w['target'] * official_l1(built[0], image, (segment == 0).float())
        - w['rest'] * official_l1(built[1], image, inside)
    )
    second.backward()
    return torch.stack([first.detach(), second.detach()])


def our_step(model: ACR, image: Tensor, labels: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
    """The same through the shipped code."""
    clear(model)
    first = sum(model.reconstructor_losses(image, labels, *drawn).values())
    first.backward()
    second = sum(model.classifier_losses(image, labels, drawn[0]).values())
    second.backward()
    return torch.stack([first.detach(), second.detach()])


def clear(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = None


def same(official: Tensor, ours: Tensor) -> None:
    torch.testing.assert_close(ours, official, rtol=1e-4, atol=1e-5)


def main() -> None:
    args = parse(__doc__, crop=256)
    width = 8 if args.quick else 64
    register_all_modules()
    torch.manual_seed(0)
    model = build(width).eval()
    norm = model.data_preprocessor
    labels = torch.zeros(len(LABELS), 20)
    for row, classes in zip(labels, LABELS, strict=True):
        row[list(classes)] = 1
    report = Report(__file__)
    image = (torch.randint(0, 256, (1, 3, *SIZE)) - norm.mean) / norm.std
    with torch.no_grad():
        report.compare(
            f'maps of {SIZE[0]} x {SIZE[1]}, 8 views',
            'the bare forward passes',
            partial(bare_forwards, model, image),
            partial(model.predict_maps, image, labels[:1]),
            lambda *_: None,
            args.repeat,
        )
    model.train()
    size = (args.crop, args.crop)
    images = (torch.randint(0, 256, (len(labels), 3, *size)) - norm.mean) / norm.std
    drawn = model.draw(labels)
    report.compare(
        f'training step, {len(labels)} crops of {args.crop}',
        'official order of passes',
        partial(official_step, model, images, labels, drawn),
        partial(our_step, model, images, labels, drawn),
        same,
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
