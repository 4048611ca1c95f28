"""CLIP-ES on one image: all classes in closed form and in one batch, against the official
formulation (a backward pass and a numpy refinement per class) and the bare ViT.

    python benchmarks/clip_es.py [--repeat 3] [--quick] [--classes 3]

Weights are random, of the size of ViT-B/16. Times are without dense CRF and without reading files.
"""

from functools import partial

import cv2
import numpy as np
import torch
from _measure import Report, parse
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import mmwsss.models  # noqa: F401
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.segmentors.clip_es import CLIPES
from mmwsss.ops.clip.vit import embed_patches, run_block
from mmwsss.ops.multi_view import resize_to_multiple
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_sample, multi_hot

MEAN, STD = [122.7709383, 116.7460125, 104.09373615], [68.5005327, 66.6321579, 70.3231630]
NUM_CLASSES, NUM_BACKGROUNDS = 20, 25
SIZE, SMALL = (375, 500), (96, 128)


def build() -> CLIPES:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmwsss.CLIPES',
            backbone=dict(type='mmwsss.FrozenCLIP', checkpoint='random'),
            text=dict(
                type='mmwsss.TextBank',
                class_names=[f'thing {i}' for i in range(NUM_CLASSES)],
                background_names=[f'ground {i}' for i in range(NUM_BACKGROUNDS)],
            ),
            data_preprocessor=dict(type='mmwsss.AnySizePreProcessor', mean=MEAN, std=STD),
        )
    ).eval()


class Official:
    """The formulation of the official code, written from its description.

    The frozen blocks give tokens and head-averaged attention; then every class takes its own pass
    of the last block with autograd, and its own Sinkhorn and squared affinity in numpy.
    """

    def __init__(self, model: CLIPES) -> None:
        self.model, self.visual = model, model.backbone.visual

    @torch.no_grad()
    def frozen(self, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, maps = embed_patches(self.visual, view), []
        for block in self.visual.transformer.resblocks[:-1]:
            # as torch's MultiheadAttention with need_weights=True
            x, _, weights = run_block(block, x, 'mean')
            maps.append(weights)
        return x, maps

    def maps(
        self, tokens: Tensor, attention: list[Tensor], labels: Tensor, grid: tuple, size: tuple
    ) -> Tensor:
        block: nn.Module = self.visual.transformer.resblocks[-1]
        text = self.model.text.embeddings
        texts = torch.cat([text[labels], text[NUM_CLASSES:]])
        block.requires_grad_(True)
        results = []
        for k in range(len(labels)):
            kept = []
            handle = block.ln_1.register_forward_hook(lambda m, i, out, kept=kept: kept.append(out))
            y, last = self._last_block(block, tokens)
            handle.remove()
            feature = self.visual.ln_post(y)[:, 1:].mean(1) @ self.visual.proj
            feature = feature / feature.norm(dim=-1, keepdim=True)
            prob = (self.model.backbone.logit_scale * feature @ texts.T).softmax(-1)[0, k]
            kept[0].retain_grad()
            block.zero_grad()
            prob.backward()
            activation, gradient = (
                t.detach()[0, 1:].T.reshape(-1, *grid).cpu().numpy()
                for t in (kept[0], kept[0].grad)
            )
            cam = (gradient.mean((1, 2))[:, None, None] * activation).sum(0)
            cam = _minmax(_minmax(np.maximum(cam, 0)))
            results.append(self._refine(cam, [*attention, last.detach()], size))
        block.requires_grad_(False)
        return torch.from_numpy(np.stack(results))

    def _last_block(self, block: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
        tokens, _, attn = run_block(block, tokens.clone().requires_grad_(), 'mean')
        return tokens, attn

    def _refine(self, cam: np.ndarray, maps: list[Tensor], size: tuple) -> np.ndarray:
        mean = torch.stack([m[0, 1:, 1:] for m in maps[-8:]]).mean(0).cpu()
        for _ in range(3):
            mean = mean / mean.sum(0, keepdim=True)
            mean = mean / mean.sum(1, keepdim=True)
        mean = (mean + mean.T) / 2
        mean = mean @ mean
        grey = np.uint8(cam * 255)
        binary = np.uint8(grey > int(0.4 * grey.max())) * 255
        contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        mask = np.zeros_like(cam)
        height, width = cam.shape
        for x, y, w, h in map(cv2.boundingRect, contours):
            mask[y : min(y + h, height - 1), x : min(x + w, width - 1)] = 1
        refined = (mean * torch.from_numpy(mask).reshape(1, -1)) @ torch.from_numpy(cam).view(-1, 1)
        refined = _minmax(refined.reshape(height, width).numpy())
        return cv2.resize(refined, size[::-1])


def _minmax(cam: np.ndarray) -> np.ndarray:
    cam = cam - cam.min()
    return cam / (1e-7 + cam.max())


class Benchmark:
    """An image, and what is measured on it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.model, self.size = build(), size
        self.official = Official(self.model)
        norm = self.model.data_preprocessor
        coarse = torch.rand(1, 3, size[0] // 16, size[1] // 16, generator=torch.manual_seed(1))
        pixels = nn.functional.interpolate(coarse, size=size, mode='bicubic')[0].clamp(0, 1)
        self.data = norm(dict(inputs=[(pixels * 255).round()]))['inputs']
        self.view = resize_to_multiple(self.data[0], 1.0, 16, norm.mean, norm.std)[None]
        self.grid = tuple(side // 16 for side in self.view.shape[-2:])
        self.frozen = self.official.frozen(self.view)
        self.features = self.model.backbone.encode(self.view, CLIPRequest(attn=8))

    @torch.no_grad()
    def bare_forward(self) -> Tensor:
        """The ViT without attention maps."""
        visual = self.official.visual
        x = embed_patches(visual, self.view)
        for block in visual.transformer.resblocks:
            x = run_block(block, x).tokens
        return visual.ln_post(x)[:, 0] @ visual.proj

    def official_rest(self, labels: Tensor) -> Tensor:
        """Everything behind the frozen blocks, a backward pass per class."""
        return self.official.maps(*self.frozen, labels, self.grid, self.size)

    def official_image(self, labels: Tensor) -> Tensor:
        """The same with the frozen blocks."""
        frozen = self.official.frozen(self.view)
        return self.official.maps(*frozen, labels, self.grid, self.size)

    @torch.no_grad()
    def our_rest(self, labels: Tensor) -> Tensor:
        """Everything behind the frozen blocks."""
        hot = torch.zeros(1, NUM_CLASSES)
        hot[0, labels] = 1
        backbone = self.model.backbone
        encode, backbone.encode = backbone.encode, lambda *_: self.features
        try:
            maps = self.model.make_cams(self.view, hot)[None]
        finally:
            backbone.encode = encode
        return nn.functional.interpolate(
            maps, size=self.size, mode='bilinear', align_corners=False
        )[0]

    def our_image(self, labels: Tensor) -> Tensor:
        """The shipped code on the image."""
        (hot,) = multi_hot(labels.tolist(), num_classes=NUM_CLASSES)
        sample = labelled_sample(hot, ori_shape=self.size)
        return self.model.predict(self.data, [sample])[0].pred_cam.cam


def same(expected: Tensor, maps: Tensor) -> None:
    worst = float((maps - expected).detach().abs().max())
    assert worst < 2e-3, f'the maps differ by {worst:.1e}'


def main() -> None:
    args = parse(__doc__, classes=3)
    bench = Benchmark(SMALL if args.quick else SIZE)
    report = Report(__file__)
    size = f'{bench.size[0]} x {bench.size[1]}, ViT-B/16 size'
    for count in range(args.classes if args.quick else 1, args.classes + 1):
        labels = torch.arange(count)
        rows = {
            'after the frozen blocks': (
                'a backward pass per class', bench.official_rest, bench.our_rest
            ),
            'whole image': ('the same', bench.official_image, bench.our_image),
        }  # fmt: skip
        for name, (baseline, slow, fast) in rows.items():
            report.compare(
                f'{name}, {size}, classes: {count}',
                baseline,
                partial(slow, labels),
                partial(fast, labels),
                same,
                args.repeat,
            )
    report.compare(
        f'whole image, {size}, classes: {args.classes}',
        'bare forward of the ViT',
        bench.bare_forward,
        partial(bench.our_image, torch.arange(args.classes)),
        lambda *_: None,  # the forward gives no maps
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
