"""CLIP-ES on one image: all classes in closed form and in one batch, against the official
formulation (a backward pass and a numpy refinement per class) and the bare ViT.

    python benchmarks/clip_es.py [--size 375 500] [--classes 1 2 3] [--device cuda]

Weights are random, of the size of ViT-B/16. Times are without dense CRF and without reading files.
"""

import argparse

import cv2
import numpy as np
import torch
from _measure import measure
from mmengine.registry import init_default_scope
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

import mmwsss.models  # noqa: F401
from mmwsss.models.segmentors.clip_es import CLIPES
from mmwsss.ops.clip_vit import embed_patches, run_block
from mmwsss.ops.multi_view import resize_to_multiple
from mmwsss.registry import MODELS

MEAN, STD = [122.7709383, 116.7460125, 104.09373615], [68.5005327, 66.6321579, 70.3231630]
NUM_CLASSES, NUM_BACKGROUNDS = 20, 25


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
            x, weights = run_block(block, x, need_weights=True)
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
        return run_block(block, tokens.clone().requires_grad_(), need_weights=True)

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, nargs=2, default=(375, 500))
    parser.add_argument('--classes', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = build().to(args.device)
    official = Official(model)
    size = tuple(args.size)
    coarse = torch.rand(1, 3, size[0] // 16, size[1] // 16, generator=torch.manual_seed(1))
    pixels = nn.functional.interpolate(coarse, size=size, mode='bicubic')[0].clamp(0, 1)
    data = model.data_preprocessor(dict(inputs=[(pixels * 255).round()]))['inputs']
    norm = model.data_preprocessor
    view = resize_to_multiple(data[0], 1.0, 16, norm.mean, norm.std)[None]
    grid = tuple(side // 16 for side in view.shape[-2:])

    def timed(function):  # results on the host, so a GPU has finished
        return measure(lambda: _host(function()), args.repeat)

    @torch.no_grad()
    def bare() -> Tensor:
        x = embed_patches(official.visual, view)
        for block in official.visual.transformer.resblocks:
            x, _ = run_block(block, x)
        return official.visual.ln_post(x)[:, 0] @ official.visual.proj

    def ours_after(labels: Tensor, features) -> Tensor:
        with torch.no_grad():
            hot = torch.zeros(1, NUM_CLASSES, device=args.device)
            hot[0, labels] = 1
            encode, model.backbone.encode = model.backbone.encode, lambda *_: features
            try:
                maps = model.make_cams(view, hot)
            finally:
                model.backbone.encode = encode
            return nn.functional.interpolate(
                maps[None], size=size, mode='bilinear', align_corners=False
            )[0]

    def ours(labels: Tensor) -> Tensor:
        sample = SegDataSample(metainfo=dict(ori_shape=size))
        hot = torch.zeros(NUM_CLASSES, device=args.device)
        hot[labels] = 1
        sample.gt_image_labels = LabelData(label=hot)
        return model.predict(data, [sample])[0].pred_cam.cam

    tokens, attention = official.frozen(view)
    features = model.backbone.encode(view, 7)
    forward, forward_mib, _ = timed(bare)
    frozen, _, _ = timed(lambda: official.frozen(view)[0])
    own_frozen, _, _ = timed(lambda: model.backbone.encode(view, 7).tokens[-1])
    print(f'{size[0]} x {size[1]}, {len(tokens[0]) - 1} patches, {args.device}, '
          f'{args.threads} thread(s)')  # fmt: skip
    print(f'bare forward of the ViT {forward:.2f} s, {forward_mib:.0f} MiB; '
          f'frozen blocks: official {frozen:.2f} s, ours {own_frozen:.2f} s')  # fmt: skip
    for count in args.classes:
        labels = torch.arange(count, device=args.device)
        slow, _, expected = timed(lambda: official.maps(tokens, attention, labels, grid, size))  # noqa: B023
        fast, _, maps = timed(lambda: ours_after(labels, features))  # noqa: B023
        whole, whole_mib, again = timed(lambda: ours(labels))  # noqa: B023
        both, both_mib, _ = timed(
            lambda: official.maps(*official.frozen(view), labels, grid, size)  # noqa: B023
        )
        for result in (maps, again):
            worst = float((result - expected).abs().max())
            assert worst < 2e-3, f'the maps differ by {worst:.1e}'
        print(
            f'{count} classes: after the frozen blocks {slow:.2f} s -> {fast:.2f} s '
            f'({slow / fast:.1f}x); whole image {both:.2f} s, {both_mib:.0f} MiB -> {whole:.2f} s, '
            f'{whole_mib:.0f} MiB ({whole / forward:.2f} of the bare forward)'
        )


def _host(result: Tensor) -> Tensor:
    return result.detach().float().cpu()


if __name__ == '__main__':
    main()
