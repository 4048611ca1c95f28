"""Pre-train a narrow backbone of the mini configs, in the place that ImageNet has for the real.

Single objects on any ground, and grounds alone, are classified by one label an image, as ImageNet
is. Every image is freshly rendered, none is of the mini data set. The weights are shipped as
``mmwsss/assets/mini_<arch>.safetensors``.

    python tools/pretrain_mini_backbone.py resnet38 work_dirs/mini_resnet38
    python tools/pretrain_mini_backbone.py mit work_dirs/mini_mit
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmwsss.datasets.mini_render import CLASSES, GROUNDS, render_scene
from mmwsss.models.backbones import MixVisionTransformerAttn, ResNet38d
from mmwsss.utils.io import atomic_write

NAMES = CLASSES + GROUNDS
SEED, REPORT_SEED = 38, 39
SIZE, GROUND_SHARE = 96, 0.2
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


class FreshImages(Dataset):
    """Batch ``step`` is a pure function of the seed."""

    def __init__(self, steps: int, batch: int, seed: int) -> None:
        self.steps, self.batch, self.seed = steps, batch, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        cv2.setNumThreads(0)
        pairs = [_sample(np.random.default_rng((self.seed, step, i))) for i in range(self.batch)]
        images, labels = zip(*pairs, strict=True)
        images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return (images - MEAN) / STD, torch.tensor(labels)


def _sample(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """An image and its one label."""
    ground = str(rng.choice(GROUNDS))
    alone = rng.uniform() < GROUND_SHARE
    names = [] if alone else [str(rng.choice(CLASSES))]
    image = render_scene(rng, (SIZE, SIZE), names, ground, (40.0, float(SIZE)))[0]
    return image, NAMES.index(ground if alone else names[0])


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


def sgd(parameters, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr, momentum=0.9, weight_decay=5e-4, nesterov=True)


def adamw(parameters, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr, weight_decay=0.05)


# network, optimizer, learning rate, steps, first step with CutMix
ARCHS = {'resnet38': (resnet38, sgd, 0.1, 1200, None), 'mit': (mit, adamw, 1e-3, 2000, 1250)}


class Classifier(nn.Module):
    """Backbone, global average pooling of its last map and a linear layer."""

    def __init__(self, build: Callable[[], tuple[nn.Module, int]]) -> None:
        super().__init__()
        self.backbone, channels = build()
        self.classifier = nn.Linear(channels, len(NAMES))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.backbone(images)[-1].mean(dim=(2, 3)))


def cut_mix(images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al., arXiv 1905.04899): every image gets a rectangle of another one.

    A transformer that averages its tokens learns from it to say in each token what is there.

    Returns:
        The images, and ``(B, classes)`` shares of the area.
    """
    rng = np.random.default_rng((SEED, step))
    height, width = images.shape[-2:]
    shares = F.one_hot(labels, len(NAMES)).float()
    ratio = np.sqrt(rng.uniform(0.1, 0.6))
    h, w = int(ratio * height), int(ratio * width)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    images = images.clone()
    images[:, :, y : y + h, x : x + w] = images.roll(1, 0)[:, :, y : y + h, x : x + w]
    area = h * w / (height * width)
    return images, (1 - area) * shares + area * shares.roll(1, 0)


@torch.no_grad()
def accuracy(model: Classifier, steps: int) -> float:
    """Share of fresh images whose label is the best."""
    model.eval()
    data = FreshImages(steps, 32, REPORT_SEED)
    right = [
        model(images).argmax(1) == labels for images, labels in map(data.__getitem__, range(steps))
    ]
    return float(torch.cat(right).float().mean())


def train(args: argparse.Namespace) -> Classifier:
    torch.manual_seed(SEED)
    build, make_optimizer, lr, _, mix_start = ARCHS[args.arch]
    model = Classifier(build)
    optimizer = make_optimizer(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=args.steps)
    last = args.work_dir / 'last.pth'
    start = 0
    if last.exists():
        saved = torch.load(last, weights_only=True)
        start = saved['step']
        for name, part in dict(model=model, optimizer=optimizer, schedule=schedule).items():
            part.load_state_dict(saved[name])
        print(f'resumed at step {start}')
    loader = DataLoader(
        FreshImages(args.steps, args.batch, SEED), None, sampler=range(start, args.steps),
        num_workers=1, prefetch_factor=4,
    )  # fmt: skip
    began, losses = time.time(), []
    for step, (images, labels) in enumerate(loader, start=start):
        model.train()
        if mix_start is not None and step >= mix_start:
            images, labels = cut_mix(images, labels, step)
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            pace = (time.time() - began) / (step + 1 - start)
            print(f'step {step + 1}/{args.steps} loss {np.mean(losses):.3f} {pace:.2f} s/step',
                  flush=True)  # fmt: skip
            losses = []
        if (step + 1) % 250 == 0 or step + 1 == args.steps:
            state = dict(model=model, optimizer=optimizer, schedule=schedule)
            state = {name: part.state_dict() for name, part in state.items()}
            with atomic_write(last) as temporary:
                torch.save(dict(state, step=step + 1), temporary)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('arch', choices=ARCHS)
    parser.add_argument('work_dir', type=Path, help='where last.pth (for resuming) is kept')
    parser.add_argument('--out', type=Path, help='default: mmwsss/assets/mini_<arch>.safetensors')
    parser.add_argument('--steps', type=int, help='default: 1200 (resnet38), 2000 (mit)')
    parser.add_argument('--batch', type=int, default=32)
    args = parser.parse_args()
    args.steps = args.steps or ARCHS[args.arch][3]
    args.out = args.out or Path(f'mmwsss/assets/mini_{args.arch}.safetensors')
    model = train(args)
    figures = dict(seed=SEED, steps=args.steps, accuracy=round(accuracy(model, 20), 4))
    weights = {
        k: v.half() if v.is_floating_point() else v
        for k, v in model.backbone.state_dict().items()
        if 'num_batches_tracked' not in k
    }
    with atomic_write(args.out) as temporary:
        save_file(weights, temporary, {'training': json.dumps(figures)})
    print(f'{args.out}: {json.dumps(figures)}')


if __name__ == '__main__':
    main()
