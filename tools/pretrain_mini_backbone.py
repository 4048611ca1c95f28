"""Pre-train a narrow backbone of the mini configs, in the place that ImageNet has for the real.

Single objects on any ground, and grounds alone, are classified by one label an image, as ImageNet
is. Every image is freshly rendered, none is of the mini data set. The weights are shipped as
``mmwsss/assets/mini_<arch>.safetensors``.

    python tools/pretrain_mini_backbone.py resnet38 work_dirs/mini_resnet38
    python tools/pretrain_mini_backbone.py mit work_dirs/mini_mit
    python tools/pretrain_mini_backbone.py dino work_dirs/mini_dino
    python tools/pretrain_mini_backbone.py deit work_dirs/mini_deit
    python tools/pretrain_mini_backbone.py conformer work_dirs/mini_conformer

``dino`` has the architecture of DINOv2 and stands in its place, but is trained as the others are,
with labels of images and of their regions: it is no self-supervised network.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from _training import load_last, save_last
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmwsss.datasets.mini_render import CLASSES, GROUNDS, render_scene
from mmwsss.models.backbones import (
    Conformer,
    FrozenCLIP,
    MixVisionTransformerAttn,
    MultiClassTokenViT,
    ResNet38d,
)
from mmwsss.models.backbones.conformer import ConformerFeatures
from mmwsss.models.backbones.multi_class_token_vit import TokenFeatures
from mmwsss.models.layers.dino_vit import DinoViT
from mmwsss.ops.confusion import confusion_matrix, segmentation_scores
from mmwsss.ops.resize import resize_label
from mmwsss.utils.io import atomic_write

NAMES = CLASSES + GROUNDS
SEED, REPORT_SEED = 38, 39
GROUND_SHARE = 0.2
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


class FreshImages(Dataset):
    """Batch ``step`` is a pure function of the seed."""

    def __init__(self, steps: int, batch: int, seed: int, size: int, largest: float = 1.0) -> None:
        self.steps, self.batch, self.seed = steps, batch, seed
        self.size, self.largest = size, largest

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images, and their labels ``(B, 2)``: what is shown, and the ground that it is on."""
        cv2.setNumThreads(0)
        seeds = ((self.seed, step, i) for i in range(self.batch))
        pairs = [_sample(np.random.default_rng(seed), self.size, self.largest) for seed in seeds]
        images, labels = zip(*pairs, strict=True)
        images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return (images - MEAN) / STD, torch.tensor(labels)


def _sample(
    rng: np.random.Generator, size: int, largest: float
) -> tuple[np.ndarray, tuple[int, int]]:
    """An image of ``size`` x ``size`` pixels, its label and that of its ground."""
    ground = str(rng.choice(GROUNDS))
    alone = rng.uniform() < GROUND_SHARE
    names = [] if alone else [str(rng.choice(CLASSES))]
    image = render_scene(rng, (size, size), names, ground, (size / 2.4, size * largest))[0]
    return image, (NAMES.index(ground if alone else names[0]), NAMES.index(ground))


def resnet38() -> tuple[nn.Module, int]:
    backbone = ResNet38d(
        base_channels=8, dropout=(0, 0), frozen_stages=-1, norm_eval=False, norm_frozen=False
    )
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return backbone, 512


def mit() -> tuple[nn.Module, int]:
    backbone = MixVisionTransformerAttn(
        embed_dims=24,
        num_layers=(2, 2, 2, 2),
        num_heads=(1, 2, 5, 8),
        strides=(4, 2, 1, 1),
        sr_ratios=(4, 2, 2, 1),
        norm_frozen=False,
    )
    backbone.init_weights()
    return backbone, 192


class PatchMap(nn.Module):
    """DINOv2's architecture as a backbone that gives one map."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = DinoViT(128, num_layers=6, num_heads=2, patch_size=7, table_size=16)
        for name, weight in self.vit.named_parameters():
            if weight.ndim > 1:
                nn.init.trunc_normal_(weight, std=0.02)
            elif name.endswith('gamma'):
                nn.init.constant_(weight, 0.1)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        side = images.shape[-1] // self.vit.patch_size
        return (self.vit(images)[:, 1:].transpose(1, 2).unflatten(2, (side, side)),)


def dino() -> tuple[nn.Module, int]:
    return PatchMap(), 128


class DeiT(MultiClassTokenViT):
    """DeiT's architecture as a backbone that gives one map: each patch plus the class token."""

    def __init__(self) -> None:
        super().__init__(
            1, img_size=112, patch_size=8, embed_dims=96, num_layers=6, num_heads=3,
            drop_path_rate=0.0,
        )  # fmt: skip
        self.norm = nn.LayerNorm(96, eps=1e-6)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self._map(super().forward(images)),)

    def with_attention(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and the attention between patches ``(B, N, N)``, mean over all layers."""
        features, layers = self.forward_with_layers(images)
        return self._map(features), torch.stack(layers).mean(0)[:, 1:, 1:]

    def _map(self, features: TokenFeatures) -> Tensor:
        patches = self.norm(features.patches.flatten(2).mT)
        token = self.norm(features.class_tokens[-1])
        return (patches + token).mT.unflatten(2, features.patches.shape[-2:])


def deit() -> tuple[nn.Module, int]:
    return DeiT(), 96


class BothBranches(nn.Module):
    """A Conformer as a backbone that gives one map: the convolutions', and each patch plus the
    class token."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Conformer(
            base_channels=16,
            channel_ratio=2,
            embed_dims=96,
            depth=6,
            num_heads=3,
            patch_size=8,
            drop_path_rate=0.0,
        )

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self._map(self.net(images)),)

    def with_attention(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and the attention between patches ``(B, N, N)``, mean over all layers."""
        features, layers = self.net.forward_with_layers(images)
        return self._map(features), torch.stack(layers).mean(0)[:, 1:, 1:]

    @staticmethod
    def _map(features: ConformerFeatures) -> Tensor:
        tokens = features.tokens[:, 1:] + features.tokens[:, :1]
        return torch.cat([features.conv, tokens.mT.unflatten(2, features.conv.shape[2:])], 1)


def conformer() -> tuple[nn.Module, int]:
    return BothBranches(), 128 + 96


def sgd(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr, momentum=0.9, weight_decay=5e-4, nesterov=True)


def adamw(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr, weight_decay=0.05)


@dataclass(frozen=True)
class Phase:
    """A part of the training with a one-cycle schedule of its own.

    Attributes:
        steps: Batches.
        lr: Highest learning rate.
        warmup: Share of the steps before it.
        mix_start: First step at which rectangles of another image are pasted; None: never.
        by_region: Rectangle and rest are classified each, not their mixture.
        by_cell: Besides, each cell has to be the object or the ground of its part.
        by_attention: Besides, cells have to attend to cells of their own kind.
        size: Side of the images.
        largest: Side of the largest objects, relative to it.
        cell: Side of the cells that rectangles are made of.
    """

    steps: int
    lr: float
    warmup: float = 0.3
    mix_start: int | None = None
    by_region: bool = False
    by_cell: bool = False
    by_attention: bool = False
    size: int = 96
    largest: float = 1.0
    cell: int = 8


ARCHS = {
    'resnet38': (resnet38, sgd, [Phase(1200, 0.1)]),
    'mit': (mit, adamw, [Phase(2000, 1e-3, mix_start=1250), Phase(600, 5e-4, 0.1, 0, True)]),
    'dino': (
        dino,
        adamw,
        [
            Phase(2500, 1e-3, mix_start=500, size=56, cell=7),
            Phase(1200, 1e-3, 0.1, 0, True, True, size=56, cell=7),
            Phase(700, 1e-3, 0.1, 0, True, True, size=84, cell=7, largest=1.3),
            Phase(450, 1e-3, 0.1, 0, True, True, size=112, cell=7),
        ],
    ),
    'deit': (
        deit,
        adamw,
        [
            Phase(1600, 1e-3, mix_start=500, size=64),
            Phase(900, 1e-3, 0.1, 0, True, True, True, size=64),
            Phase(450, 1e-3, 0.1, 0, True, True, True, size=112),
        ],
    ),
    'conformer': (
        conformer,
        adamw,
        [
            Phase(900, 1e-3, mix_start=300, size=64),
            Phase(500, 1e-3, 0.1, 0, True, True, True, size=64),
            Phase(250, 1e-3, 0.1, 0, True, True, True, size=112),
        ],
    ),
}


class Classifier(nn.Module):
    """Backbone, global average pooling of its last map and a linear layer."""

    def __init__(self, build: Callable[[], tuple[nn.Module, int]]) -> None:
        super().__init__()
        self.backbone, channels = build()
        self.classifier = nn.Linear(channels, len(NAMES))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.backbone(images)[-1].mean(dim=(2, 3)))

    def cells(self, images: Tensor, attention: bool = False) -> tuple[Tensor, Tensor | None]:
        """Logits ``(B, h, w, classes)`` of the cells of the last map, and their attention."""
        if attention:
            found, attention = self.backbone.with_attention(images)
        else:
            found, attention = self.backbone(images)[-1], None
        return self.classifier(found.permute(0, 2, 3, 1)), attention


def cut_mix(images: Tensor, step: int, cell: int) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al., arXiv 1905.04899): every image gets a rectangle of the one before.

    Returns:
        The images, and which cells of ``cell`` pixels are pasted, 0 or 1, ``(h, w)``.
    """
    rng = np.random.default_rng((SEED, step))
    cells = images.shape[-1] // cell
    h, w = rng.integers(cells // 3, 3 * cells // 4, 2)
    y, x = rng.integers(cells - h + 1), rng.integers(cells - w + 1)
    mask = torch.zeros(cells, cells)
    mask[y : y + h, x : x + w] = 1
    pixels = mask.repeat_interleave(cell, 0).repeat_interleave(cell, 1).bool()
    return torch.where(pixels, images.roll(1, 0), images), mask


def mixed_loss(
    model: Classifier, images: Tensor, labels: Tensor, step: int, phase: Phase
) -> Tensor:
    """Cross-entropy with both labels, weighted by area.

    By region, each part of the image has to be recognised from its own cells (token labels, Jiang
    et al., arXiv 2104.10858): a transformer learns from it to say in each cell what is there.
    """
    images, mask = cut_mix(images, step, phase.cell)
    own, pasted = labels, labels.roll(1, 0)
    area = mask.mean()
    if phase.by_region:
        cells, attention = model.cells(images, phase.by_attention)
        inside, outside = ((cells * m[..., None]).sum((1, 2)) / m.sum() for m in (mask, 1 - mask))
    else:
        inside = outside = model(images)
    loss = area * F.cross_entropy(inside, pasted[:, 0])
    loss = loss + (1 - area) * F.cross_entropy(outside, own[:, 0])
    if phase.by_cell:
        loss = loss + cell_loss(cells, own, pasted, mask)
    return loss + attention_loss(cells, attention) if phase.by_attention else loss


def cell_loss(cells: Tensor, own: Tensor, pasted: Tensor, mask: Tensor) -> Tensor:
    """Each cell is one of the two names of its part, whichever it finds."""
    own, pasted = (F.one_hot(names, len(NAMES)).amax(1)[:, None, None] for names in (own, pasted))
    named = torch.where(mask[..., None] > 0, pasted, own) > 0
    explained = cells.masked_fill(~named, -torch.inf).logsumexp(-1)
    return (cells.logsumexp(-1) - explained).mean()


def attention_loss(cells: Tensor, attention: Tensor) -> Tensor:
    """What the attention of a cell gathers is what the network itself sees in the cell."""
    seen = cells.detach().flatten(1, 2).softmax(-1)
    shares = attention / attention.sum(-1, keepdim=True)
    return -((shares @ seen) * seen).sum(-1).log().mean()


@torch.no_grad()
def accuracy(model: Classifier, steps: int, size: int) -> float:
    """Share of fresh images whose label is the best."""
    model.eval()
    data = FreshImages(steps, 32, REPORT_SEED, size)
    right = [
        model(images).argmax(1) == labels[:, 0]
        for images, labels in map(data.__getitem__, range(steps))
    ]
    return float(torch.cat(right).float().mean())


@torch.no_grad()
def patch_miou(backbone: Callable[[Tensor], tuple[Tensor, ...]]) -> float:
    """mIoU of a linear classifier (least squares) of single patches of its last map.

    Fitted to 200 freshly rendered scenes, judged on 100 others.
    """
    scenes = [
        render_scene(np.random.default_rng((REPORT_SEED, i)), (112, 112))[:2] for i in range(300)
    ]
    images, masks = (np.stack(parts) for parts in zip(*scenes, strict=True))
    images = (torch.from_numpy(images).permute(0, 3, 1, 2) - MEAN) / STD
    maps = torch.cat([backbone(batch)[-1] for batch in images.split(20)])
    tokens = F.pad(maps.permute(0, 2, 3, 1), (0, 1), value=1.0)
    truth = resize_label(torch.from_numpy(masks), maps.shape[2:]).long()
    fit, judge = slice(0, 200), slice(200, None)
    targets = F.one_hot(truth[fit].flatten(), len(CLASSES) + 1).to(tokens)
    weights = torch.linalg.lstsq(tokens[fit].flatten(0, 2), targets).solution
    found = (tokens[judge] @ weights).argmax(-1)
    matrix = confusion_matrix(found, truth[judge], len(CLASSES) + 1)
    return float(segmentation_scores(matrix)['miou'])


def gathered(backbone: DeiT | BothBranches, images: Tensor) -> tuple[Tensor]:
    """The last map as attention spreads it, for :func:`patch_miou`."""
    found, attention = backbone.with_attention(images)
    spread = found.flatten(2) @ attention.mT / attention.sum(-1)[:, None]
    return (spread.unflatten(2, found.shape[2:]),)


def train(args: argparse.Namespace) -> Classifier:
    torch.manual_seed(SEED)
    build, make_optimizer, phases = ARCHS[args.arch]
    model = Classifier(build)
    first = 0  # batches are numbered through all phases
    for number, phase in enumerate(phases):
        optimizer = make_optimizer(model.parameters(), phase.lr)
        run_phase(args, model, optimizer, phase, args.work_dir / f'phase{number}.pth', first)
        first += phase.steps
    return model


def run_phase(
    args: argparse.Namespace,
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    phase: Phase,
    last: Path,
    first: int,
) -> None:
    """Train, or continue from the checkpoint ``last``."""
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, phase.lr, total_steps=phase.steps, pct_start=phase.warmup
    )
    start, settings = 0, dict(asdict(phase), arch=args.arch, batch=args.batch, first=first)
    if saved := load_last(last, settings):
        start = saved['step']
        for name, part in dict(model=model, optimizer=optimizer, schedule=schedule).items():
            part.load_state_dict(saved[name])
        print(f'{last}: resumed at step {start}')
    loader = DataLoader(
        FreshImages(first + phase.steps, args.batch, SEED, phase.size, phase.largest), None,
        sampler=range(first + start, first + phase.steps), num_workers=1, prefetch_factor=4,
    )  # fmt: skip
    began, losses = time.time(), []
    for step, (images, labels) in enumerate(loader, start=start):
        model.train()
        if phase.mix_start is not None and step >= phase.mix_start:
            loss = mixed_loss(model, images, labels, first + step, phase)
        else:
            loss = F.cross_entropy(model(images), labels[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            pace = (time.time() - began) / (step + 1 - start)
            print(f'step {step + 1}/{phase.steps} loss {np.mean(losses):.3f} {pace:.2f} s/step',
                  flush=True)  # fmt: skip
            losses = []
        if (step + 1) % 50 == 0 or step + 1 == phase.steps:
            state = dict(model=model, optimizer=optimizer, schedule=schedule)
            state = {name: part.state_dict() for name, part in state.items()}
            save_last(last, settings, **state, step=step + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('arch', choices=ARCHS)
    parser.add_argument('work_dir', type=Path, help='where phase*.pth (for resuming) are kept')
    parser.add_argument('--out', type=Path, help='default: mmwsss/assets/mini_<arch>.safetensors')
    parser.add_argument('--batch', type=int, default=32)
    args = parser.parse_args()
    args.out = args.out or Path(f'mmwsss/assets/mini_{args.arch}.safetensors')
    model = train(args)
    phases = ARCHS[args.arch][-1]
    steps, size = sum(phase.steps for phase in phases), phases[-1].size
    figures = dict(seed=SEED, steps=steps, accuracy=round(accuracy(model, 20, size), 4))
    if args.arch in ('dino', 'deit', 'conformer'):
        figures['patch_miou'] = round(patch_miou(model.backbone), 4)
    if args.arch in ('deit', 'conformer'):
        figures['gathered_miou'] = round(patch_miou(lambda x: gathered(model.backbone, x)), 4)
    if args.arch == 'dino':
        figures['patch_miou_clip'] = round(patch_miou(FrozenCLIP('mini')), 4)
    weights = {
        k.removeprefix('vit.').removeprefix('net.'): v.half() if v.is_floating_point() else v
        for k, v in model.backbone.state_dict().items()
        if 'num_batches_tracked' not in k
    }
    with atomic_write(args.out) as temporary:
        save_file(weights, temporary, {'training': json.dumps(figures)})
    print(f'{args.out}: {json.dumps(figures)}')


if __name__ == '__main__':
    main()
