"""Speed of online pseudo labels and training steps of WeCLIP and WeCLIP+ (ViT-B/16 size, crop 320).

Baseline: the same computation in the official formulation: image by image, class by class, one
backward pass each, affinity squared per class, PAR on 48 gathered neighbours.

    python benchmarks/weclip_step.py [--repeat 3] [--quick]
"""

from functools import partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from _measure import Report, parse
from mmengine.config import Config
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.segmentors import WeCLIP, WeCLIPPlus
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.clip.vit import split_heads
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pixel_adaptive import par_weights
from mmwsss.ops.pseudo_label import add_background
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS

CROP = 320
CLASSES = ((14,), (2, 8), (0, 6, 19), (11, 17))  # of the four images: 1, 2, 3 and 2 classes


def loop_gradcam(
    model: WeCLIP, tokens: Tensor, classes: tuple[int, ...], grid: tuple[int, int]
) -> tuple[list, Tensor]:
    """One forward and one backward pass of the last block per class of one image."""
    clip, bank = model.backbone, model.text
    block, visual = clip.visual.transformer.resblocks[-1], clip.visual
    texts = torch.cat([bank.embeddings[list(classes)], bank.embeddings[bank.num_classes :]])
    cams = []
    for i in range(len(classes)):
        y = block.ln_1(tokens).detach().requires_grad_()
        qkv = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias)
        q, k, v = (split_heads(t, block.attn.num_heads) for t in qkv.chunk(3, dim=-1))
        attn = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = tokens + block.attn.out_proj((attn @ v).transpose(1, 2).flatten(2))
        x = visual.ln_post(x + block.mlp(block.ln_2(x)))
        feature = F.normalize(x[:, 1:].mean(1) @ visual.proj, dim=-1)
        prob = (clip.logit_scale * feature @ texts.T).softmax(-1)[0, i]
        (gradient,) = torch.autograd.grad(prob, y)
        cam = (y[0, 1:] * gradient[0, 1:].mean(0)).sum(-1).relu().detach()
        cams.append(minmax_normalize(minmax_normalize(cam.view(1, *grid)))[0])
    return cams, attn.detach().mean(1)[0]


def loop_box_mask(cam: np.ndarray, threshold: float) -> np.ndarray:
    """Boxes from OpenCV's contours."""
    grey = (cam * 255).astype(np.uint8)
    binary = (grey > int(threshold * grey.max())).astype(np.uint8)
    mask = np.zeros_like(cam)
    for contour in cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]:
        x, y, w, h = cv2.boundingRect(contour)
        mask[y : min(y + h, cam.shape[0] - 1), x : min(x + w, cam.shape[1] - 1)] = 1
    return mask


def loop_refine(cam: Tensor, attn: Tensor, threshold: float | None) -> Tensor:
    """Sinkhorn, symmetrisation and squaring, again for every class."""
    for _ in range(3):
        attn = attn / attn.sum(0, keepdim=True)
        attn = attn / attn.sum(1, keepdim=True)
    attn = (attn + attn.T) / 2
    if threshold is not None:
        cam = cam * torch.from_numpy(loop_box_mask(cam.numpy(), threshold))
    return ((attn @ attn) @ cam.reshape(-1, 1)).view_as(cam)


def gathered_par(image: Tensor, masks: Tensor, dilations: tuple[int, ...], rounds: int) -> Tensor:
    """PAR with all neighbours of all channels gathered in every round."""
    weights = par_weights(image, dilations)[:, None]
    height, width = image.shape[-2:]
    for _ in range(rounds):
        gathered = []
        for d in dilations:
            padded = F.pad(masks, (d,) * 4, mode='replicate')
            gathered += [
                padded[:, :, dy : dy + height, dx : dx + width]
                for dy in (0, d, 2 * d)
                for dx in (0, d, 2 * d)
                if (dy, dx) != (d, d)
            ]
        masks = (torch.stack(gathered, 2) * weights).sum(2)
    return masks


def loop_path(model: WeCLIP, image: Tensor, features) -> list[Tensor]:
    """Scores of every image behind PAR, the official way."""
    scores = []
    for b, classes in enumerate(CLASSES[: len(image)]):
        tokens, size = features.tokens[-1][b : b + 1], tuple(image.shape[-2:])
        cams, last = loop_gradcam(model, tokens, classes, features.grid)
        attn = torch.cat([features.attn[:, b], last[None, 1:, 1:]]).mean(0)
        refined = [loop_refine(cam, attn, model.refiner.box_threshold) for cam in cams]
        maps = minmax_normalize(torch.stack(refined))[None]
        maps = F.interpolate(maps, size=size, mode='bilinear', align_corners=False)
        par = model.par
        scores.append(
            gathered_par(image[b : b + 1], add_background(maps), par.dilations, par.iterations)[0]
        )
    return scores


def our_path(model: WeCLIP, image: Tensor, features, labels: Tensor) -> list[Tensor]:
    """The same through the shipped code."""
    affinity = features.attn[-1]  # not used in the static phase
    _, refined = model.make_cams(features, affinity, labels, gated=False)
    cams = F.interpolate(
        minmax_normalize(refined.maps)[None],
        size=tuple(image.shape[-2:]),
        mode='bilinear',
        align_corners=False,
    )[0]
    packed, _ = pack_pairs(cams, refined.labels, refined.image_index, len(image))
    scores = model.par(image, add_background(packed))
    return [s[: len(c) + 1] for s, c in zip(scores, CLASSES, strict=False)]


def network(model: WeCLIP, image: Tensor, pseudo_label: Tensor) -> None:
    """Frozen forward, and the decoder's forward and backward."""
    features = model.backbone.encode(image)
    logits, affinity = model.decode_head(features.tokens, features.grid)
    losses = model.decode_head.loss_by_feat(logits, affinity, pseudo_label)
    sum(losses.values()).backward()


def step(model: WeCLIP, image: Tensor, labels: Tensor) -> None:
    """The same with the online pseudo labels."""
    features = model.backbone.encode(image, CLIPRequest(attn=model.refiner.static_last))
    logits, affinity = model.decode_head(features.tokens, features.grid)
    _, refined = model.make_cams(features, affinity, labels, gated=False)
    label = model.make_pseudo_label(image, refined, tuple(image.shape[-2:])).label
    losses = model.decode_head.loss_by_feat(logits, affinity, label)
    sum(losses.values()).backward()


@torch.no_grad()
def loop_plus_path(model: WeCLIPPlus, image: Tensor, features, branches: tuple) -> list[Tensor]:
    """:func:`loop_path` of WeCLIP+: gated attention, maps weighted by the prediction."""
    clip, dino, affinity = branches
    prob, scores = (0.5 * (clip + dino)).softmax(1), []
    for b, classes in enumerate(CLASSES[: len(image)]):
        tokens = features.tokens[model.cam_source][b : b + 1]
        with torch.enable_grad():
            cams, last = loop_gradcam(model, tokens, classes, features.grid)
        attn = torch.cat([features.attn[:, b], last[None, 1:, 1:]])
        refined = []
        for c, cam in zip(classes, cams, strict=True):
            difference = (affinity[b] - attn).double().sum((1, 2))  # float32 chooses at random
            kept = attn[difference <= difference.mean()]
            gated = kept.sum(0) / (len(kept) + 1e-5) * affinity[b]
            refined.append(loop_refine(cam * prob[b, c + 1], gated, None))
        maps = upsample(minmax_normalize(torch.stack(refined)), image.shape[-2:])[None]
        par = model.par
        scores.append(
            gathered_par(image[b : b + 1], add_background(maps), par.dilations, par.iterations)[0]
        )
    return scores


@torch.no_grad()
def our_plus_path(
    model: WeCLIPPlus, image: Tensor, features, branches: tuple, labels: Tensor
) -> list[Tensor]:
    """The same through the shipped code."""
    _, refined = model.make_cams(features, *branches, labels)
    cams = upsample(minmax_normalize(refined.maps), image.shape[-2:])
    packed, _ = pack_pairs(cams, refined.labels, refined.image_index, len(image))
    scores = model.par(image, add_background(packed))
    return [s[: len(c) + 1] for s, c in zip(scores, CLASSES, strict=False)]


def plus_network(model: WeCLIPPlus, image: Tensor, pseudo_label: Tensor) -> None:
    """Both frozen towers, and the decoder's forward and backward."""
    branches = model.branches(image, model.backbone.encode(image))
    sum(model.decode_head.losses(*branches, pseudo_label, False).values()).backward()


def plus_step(model: WeCLIPPlus, image: Tensor, labels: Tensor) -> None:
    """The same with the online pseudo labels."""
    features = model.backbone.encode(image, CLIPRequest(attn=model.refiner.gated_last))
    branches = model.branches(image, features)
    _, refined = model.make_cams(features, *branches, labels)
    label = model.make_pseudo_label(image, refined, tuple(image.shape[-2:])).label
    sum(model.decode_head.losses(*branches, label, False).values()).backward()


def same(expected: list[Tensor], scores: list[Tensor]) -> None:
    worst = max((a - b).abs().max().item() for a, b in zip(scores, expected, strict=True))
    print(f'largest difference of the scores {worst:.1e}')
    assert worst < 1e-3, 'the scores differ'


def build(name: str) -> WeCLIP | WeCLIPPlus:
    """The network of a config with random weights."""
    cfg = Config.fromfile(f'configs/wsss/{name}.py').model
    cfg.backbone.checkpoint = 'random'
    if 'dino' in cfg:
        cfg.dino.checkpoint = 'random'
    model = MODELS.build(cfg).train()
    for block in model.backbone.visual.transformer.resblocks:
        block.attn.in_proj_weight *= 4  # random attention is uniform: sharpen it
    return model


def main() -> None:
    args = parse(__doc__)
    crop, batch = (128, 2) if args.quick else (CROP, 4)
    register_all_modules()
    torch.manual_seed(0)
    image = F.interpolate(torch.randn(batch, 3, 40, 40), size=crop, mode='bicubic')
    labels = torch.zeros(batch, 20)
    for row, classes in zip(labels, CLASSES, strict=False):
        row[list(classes)] = 1
    pseudo_label = torch.randint(0, 21, (batch, crop, crop))
    report = Report(__file__)
    size = f'{batch} crops of {crop}, ViT-B/16 size'

    model = build('weclip_voc')
    features = model.backbone.encode(image, CLIPRequest(attn=model.refiner.static_last))
    report.compare(
        f'WeCLIP, online pseudo labels (Grad-CAM, refinement, PAR), {size}',
        'official formulation, image by image and class by class',
        partial(loop_path, model, image, features),
        partial(our_path, model, image, features, labels),
        same,
        args.repeat,
    )
    report.compare(
        f'WeCLIP, training step, {size}',
        'frozen forward, decoder forward and backward',
        partial(network, model, image, pseudo_label),
        partial(step, model, image, labels),
        lambda *_: None,  # a step gives no result
        args.repeat,
    )

    model = build('weclip_plus_voc')
    features = model.backbone.encode(image, CLIPRequest(attn=model.refiner.gated_last))
    with torch.no_grad():
        branches = model.branches(image, features)
    report.compare(
        f'WeCLIP+, online pseudo labels, {size}',
        'official formulation, image by image and class by class',
        partial(loop_plus_path, model, image, features, branches),
        partial(our_plus_path, model, image, features, branches, labels),
        same,
        args.repeat,
    )
    report.compare(
        f'WeCLIP+, training step, {size}',
        'both frozen forwards, decoder forward and backward',
        partial(plus_network, model, image, pseudo_label),
        partial(plus_step, model, image, labels),
        lambda *_: None,
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
