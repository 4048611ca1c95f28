"""Speed of ExCEL's maps, pseudo labels and training step (ViT-B/16 size, crop 320).

Baselines: the same computation in the official formulation, that is a second pass through the
tower for the calibrated maps, the four-dimensional product of patches and texts, refinement image
by image and class by class, and PAR on 48 gathered neighbours; for steps, what they are made of.

    python benchmarks/excel_step.py [--repeat 3] [--quick]
"""

from functools import partial

import torch
import torch.nn.functional as F
from _measure import Report, parse
from mmengine.config import Config
from torch import Tensor
from weclip_step import CLASSES, CROP, gathered_par, loop_box_mask

from mmwsss import register_all_modules
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.backbones.surgery_clip import SurgeryFeatures
from mmwsss.models.segmentors import ExCEL
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.clip.patch_text import localization_maps
from mmwsss.ops.clip.surgery import dynamic_attention, project_patches
from mmwsss.ops.clip.vit import embed_patches, join_heads, project_in, run_block, softmax_attention
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pseudo_label import add_background
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS


@torch.no_grad()
def second_pass(model: ExCEL, image: Tensor, attention: Tensor) -> Tensor:
    """Calibrated patch features by running the tower again with more attention in every head."""
    clip = model.backbone
    blocks = clip.visual.transformer.resblocks
    x = embed_patches(clip.visual, image)
    for block in blocks[: -clip.num_surgery]:
        x = run_block(block, x, 'mean').tokens
    new = x
    for block in blocks[-clip.num_surgery :]:
        q, k, v = project_in(block.attn, block.ln_1(x))
        heads = sum(softmax_attention(part, part) for part in (q, k, v)) / 3
        heads[:, :, 1:, 1:] += attention[:, None]
        mixed = heads.sum(1, keepdim=True)
        new = new + block.attn.out_proj(join_heads(mixed @ v))
        x = run_block(block, x, 'sum').tokens
    return project_patches(clip.visual, torch.cat([x[:, :1], new[:, 1:]], dim=1))


def product_maps(features: Tensor, text: Tensor, num_foreground: int) -> Tensor:
    """Maps by the (B, L, T, D) product."""
    weight = (2 * features[:, 0] @ text.T).softmax(-1)
    weight = weight / weight.mean(-1, keepdim=True)
    product = features[:, :, None] * text * weight[:, None, :, None]
    maps = (product - product.mean(2, keepdim=True)).sum(-1)
    low, high = maps.amin(1, keepdim=True), maps.amax(1, keepdim=True)
    return ((maps - low) / (high - low))[..., :num_foreground]


def loop_refine(cam: Tensor, attn: Tensor, affinity: Tensor, threshold: float) -> Tensor:
    """One class of one image: layers chosen by their difference, Sinkhorn, squaring."""
    difference = (affinity - attn).double().sum((1, 2))  # float32 would choose at random
    kept = attn[difference <= difference.mean()]
    matrix = kept.sum(0) / (len(kept) + 1e-5) * affinity
    for _ in range(3):
        matrix = matrix / matrix.sum(0, keepdim=True)
        matrix = matrix / matrix.sum(1, keepdim=True)
    matrix = (matrix + matrix.T) / 2
    mask = torch.from_numpy(loop_box_mask(cam.numpy(), threshold))
    return ((matrix @ matrix) @ (cam * mask).reshape(-1, 1)).view_as(cam)


@torch.no_grad()
def loop_path(
    model: ExCEL,
    image: Tensor,
    features: SurgeryFeatures,
    fused: Tensor,
    affinity: Tensor,
    expected: Tensor,
) -> list[Tensor]:
    """Scores of every image behind PAR, the official way, with calibrated maps.

    Its maps become the ``expected`` ones where they differ by rounding only, which would decide
    at random what lies in a box.
    """
    patches = second_pass(model, image, dynamic_attention(fused))
    maps = product_maps(patches, model.text.enriched, model.num_foreground)[:, 1:]
    maps = maps.transpose(1, 2).unflatten(2, features.grid)
    maps = torch.where((maps - expected).abs() < 1e-3, expected, maps)
    size, pixels, scores = image.shape[-2:], model.pixels(image), []
    for b, classes in enumerate(CLASSES[: len(image)]):
        refined = [
            loop_refine(maps[b, c], features.attn[:, b], affinity[b], model.refiner.box_threshold)
            for c in classes
        ]
        cams = upsample(minmax_normalize(torch.stack(refined)), size)[None]
        par = model.par
        found = gathered_par(pixels[b : b + 1], add_background(cams), par.dilations, par.iterations)
        scores.append(found[0])
    return scores


@torch.no_grad()
def our_path(
    model: ExCEL,
    image: Tensor,
    features: SurgeryFeatures,
    fused: Tensor,
    affinity: Tensor,
    labels: Tensor,
) -> list[Tensor]:
    """The same through the shipped code."""
    maps = model.patch_text_maps(features, fused)
    refined = model.refine(maps, features, labels, affinity)
    index, classes = labels.nonzero(as_tuple=True)
    cams = upsample(minmax_normalize(refined), image.shape[-2:])
    packed, _ = pack_pairs(cams, classes, index, len(image))
    scores = model.par(model.pixels(image), add_background(packed))
    return [s[: len(c) + 1] for s, c in zip(scores, CLASSES, strict=False)]


def network(model: ExCEL, image: Tensor, pseudo_label: Tensor) -> None:
    """CLIP's forward pass without a second path, and the decoder's forward and backward."""
    features = model.backbone.encode(image, CLIPRequest(last=True))
    logits, affinity = model.decode_head(features.tokens, features.grid)
    sum(model.decode_head.loss_by_feat(logits, affinity, pseudo_label).values()).backward()


def step(model: ExCEL, image: Tensor, labels: Tensor, calibrated: bool) -> None:
    """A training step of the static or of the calibrated phase."""
    features = model.backbone.encode_surgery(image, model.refiner.num_attn(calibrated))
    fused = model.decode_head.fuse(features.tokens, features.grid)
    logits, affinity = model.decode_head.decode(fused), model.decode_head.predict_affinity(fused)
    maps = model.patch_text_maps(features, fused if calibrated else None)
    refined = model.refine(maps, features, labels, affinity if calibrated else None)
    size = image.shape[-2:]
    label = model.make_pseudo_label(model.pixels(image), refined, labels, size).label
    sum(model.decode_head.loss_by_feat(logits, affinity, label).values()).backward()


def same(expected: Tensor | list[Tensor], found: Tensor | list[Tensor]) -> None:
    pairs = [(expected, found)] if isinstance(found, Tensor) else zip(expected, found, strict=True)
    worst = max((a - b).abs().max().item() for a, b in pairs)
    print(f'largest difference {worst:.1e}')
    assert worst < 1e-3, 'the results differ'


def build(num_texts: int) -> ExCEL:
    """ExCEL of VOC, or with the number of texts of COCO, with random weights."""
    cfg = Config.fromfile('configs/wsss/excel_voc.py').model
    cfg.backbone.checkpoint, cfg.text.bank = 'random', 'plain'
    model = MODELS.build(cfg).train()
    for block in model.backbone.visual.transformer.resblocks:
        block.attn.in_proj_weight *= 4  # random attention is uniform: sharpen it
    assert len(model.text.enriched) == num_texts
    return model


def main() -> None:
    args = parse(__doc__)
    crop, batch = (128, 2) if args.quick else (CROP, 4)
    register_all_modules()
    model = build(num_texts=45)
    torch.manual_seed(0)
    image = F.interpolate(torch.randn(batch, 3, 40, 40), size=crop, mode='bicubic')
    labels = torch.zeros(batch, 20)
    for row, classes in zip(labels, CLASSES, strict=False):
        row[list(classes)] = 1
    features = model.backbone.encode_surgery(image, model.refiner.gated_last)
    with torch.no_grad():
        fused = model.decode_head.fuse(features.tokens, features.grid)
        affinity = model.decode_head.predict_affinity(fused)
    report = Report(__file__)
    size = f'{batch} crops of {crop}, ViT-B/16 size'
    attention = dynamic_attention(fused)
    report.compare(
        f'calibrated features, {size}',
        'second pass through the tower',
        partial(second_pass, model, image, attention),
        partial(model.backbone.patch_features, features, attention),
        same,
        args.repeat,
    )
    patches = model.backbone.patch_features(features)
    text = F.normalize(torch.randn(103, patches.shape[-1]), dim=-1)
    report.compare(
        f'maps of {len(text)} texts, one crop of {crop}, ViT-B/16 size',
        'product of patches, texts and channels',
        partial(product_maps, patches[:1], text, 80),
        partial(localization_maps, patches[:1], text, 80),
        same,
        args.repeat,
    )
    expected = model.patch_text_maps(features, fused)
    report.compare(
        f'calibrated pseudo labels (maps, refinement, PAR), {size}',
        'official formulation, image by image and class by class',
        partial(loop_path, model, image, features, fused, affinity, expected),
        partial(our_path, model, image, features, fused, affinity, labels),
        same,
        args.repeat,
    )
    report.compare(
        f'calibrated training step, {size}',
        'static training step',
        partial(step, model, image, labels, False),
        partial(step, model, image, labels, True),
        lambda *_: None,  # a step gives no result
        args.repeat,
    )
    pseudo_label = torch.randint(0, 21, (batch, crop, crop))
    report.compare(
        f'calibrated training step, {size}',
        'frozen forward, decoder forward and backward',
        partial(network, model, image, pseudo_label),
        partial(step, model, image, labels, True),
        lambda *_: None,
        args.repeat,
    )
    report.close()


if __name__ == '__main__':
    main()
