"""Maps of MCTformer V2 (one scale and the mirror image), DeiT-S size.

Baselines: the bare forwards of image and mirror image, with the fused attention that training uses
and no map at all; and the official formulation, which keeps the attention of all layers and heads.

    python benchmarks/mctformer.py [--repeat 3] [--quick] [--classes 2]
"""

from functools import partial
from pathlib import Path

import torch
from _measure import Report, parse
from mmengine.config import Config
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models import MCTformer
from mmwsss.models.backbones.multi_class_token_vit import TokenFeatures
from mmwsss.ops.clip.vit import split_heads
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS

CONFIG = Path(__file__).parents[1] / 'configs/wsss/mctformer_voc_cam.py'
SIZE, SMALL = (375, 500), (128, 160)


def build() -> MCTformer:
    register_all_modules()
    torch.manual_seed(0)
    config = Config.fromfile(CONFIG).model
    config.backbone.init_cfg = None
    return MODELS.build(config).eval()


def bare(model: MCTformer, images: Tensor) -> Tensor:
    """Both views through the network; logits."""
    return model.class_logits(model.extract_feat(torch.cat([images, images.flip(-1)])))


def all_attention(model: MCTformer, images: Tensor) -> tuple[TokenFeatures, Tensor]:
    """A forward that keeps the attention of all layers and heads ``(L, B, heads, T, T)``."""
    backbone, kept, layers = model.backbone, [], []
    x, grid = backbone._embed(images)
    for block in backbone.blocks:
        attn = block.attn
        qkv = attn.qkv(block.norm1(x)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, attn.num_heads) for part in qkv)
        weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)
        kept.append(weights)
        x = x + attn.proj((weights @ value).transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
        layers.append(x[:, : backbone.num_classes])
    return backbone._features(layers, x, grid), torch.stack(kept)


def official(model: MCTformer, images: Tensor, labels: Tensor) -> Tensor:
    """Image and mirror image one after the other, all classes, absent ones thrown away."""
    total, classes = 0, model.backbone.num_classes
    for mirror in (False, True):
        features, weights = all_attention(model, images.flip(-1) if mirror else images)
        mean = weights.mean(2)
        maps = model.decode_head.patch_maps(features).relu()
        maps = maps * mean[-3:].sum(0)[:, :classes, classes:].unflatten(2, maps.shape[-2:])
        affinity = mean.sum(0)[:, classes:, classes:]
        refined = (affinity @ maps.flatten(2).mT).mT.unflatten(2, maps.shape[-2:])
        view = upsample(refined, images.shape[-2:])
        total = total + (view.flip(-1) if mirror else view)
    total = total[labels > 0]
    low, high = total.amin((1, 2), keepdim=True), total.amax((1, 2), keepdim=True)
    return (total - low) / (high - low + 1e-8)


def ours(model: MCTformer, images: Tensor, labels: Tensor) -> Tensor:
    """The shipped code."""
    maps = model.predict_maps(images, labels)
    return upsample(maps.cams[maps.classes >= 0][None], images.shape[-2:])[0]


def same(expected: Tensor, found: Tensor) -> None:
    worst = (found - expected).abs().max().item()
    assert worst < 1e-4, f'the maps differ by {worst:.0e}'


@torch.no_grad()
def main() -> None:
    args = parse(__doc__, classes=2)
    size = SMALL if args.quick else SIZE
    model = build()
    images = torch.randn(1, 3, *size)
    labels = torch.zeros(1, model.backbone.num_classes)
    labels[:, : args.classes] = 1
    report = Report(__file__)
    compare = partial(
        report.compare, f'maps of {args.classes} classes, {size[0]} x {size[1]}, DeiT-S size'
    )
    fast = partial(ours, model, images, labels)
    compare('bare forwards', partial(bare, model, images), fast, lambda *_: None, args.repeat)
    compare(
        'official formulation, all attention kept',
        partial(official, model, images, labels),
        fast,
        same,
        args.repeat,
    )
    _, sums = model.backbone.forward_with_attn(images, model.settings.class_layers)
    kept = sum(t.numel() * t.element_size() for t in (sums.patch, sums.class_patch))
    tokens = model.backbone.num_classes + sums.patch.shape[-1]
    heads, layers = model.backbone.blocks[0].attn.num_heads, len(model.backbone.blocks)
    one, stack = tokens**2 * 4, layers * heads * tokens**2 * 4
    print(f'attention of a view: {(kept + one) / 2**20:.1f} MiB, official {stack / 2**20:.0f} MiB')
    report.close()


if __name__ == '__main__':
    main()
