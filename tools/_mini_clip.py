"""The mini CLIP: its size, its text side, and how well it recognises and localises.

Shared by the pre-training script and the tests; everything is judged on freshly rendered images.
"""

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import get_tokenizer
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from mmwsss.datasets.mini_render import CLASSES, GROUNDS, render_scene
from mmwsss.ops.affinity import mean_attention, propagate, sinkhorn_symmetric
from mmwsss.ops.affinity.box_mask import box_mask
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.clip.gradcam import clip_softmax_gradcam
from mmwsss.ops.clip.vit import embed_patches, run_block
from mmwsss.ops.confusion import segmentation_scores, sweep_matrices, threshold_histogram
from mmwsss.ops.resize import upsample

NAMES = CLASSES + GROUNDS
METHOD_TEMPLATE = 'a clean origami {}.'
PATCH, GRID = 8, 14
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def build_model() -> CLIP:
    """The mini CLIP: 1.26 M visual parameters; 49408 x 32 token table, of which few are used."""
    vision = CLIPVisionCfg(
        layers=6, width=128, head_width=64, patch_size=PATCH, image_size=PATCH * GRID
    )
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=32, heads=1, layers=2)
    return CLIP(128, vision, text, quick_gelu=True)


def normalize_image(image: Tensor) -> Tensor:
    """``(B, 3, H, W)`` in [0, 255] to ImageNet-normalised float32."""
    return (image.float() - MEAN) / STD


def pool_tokens(visual: torch.nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised class-token and mean-patch-token features, each ``(B, D)``."""
    u = visual.ln_post(tokens)
    return tuple(F.normalize(f @ visual.proj, dim=-1) for f in (u[:, 0], u[:, 1:].mean(1)))


class TextEncoder:
    """Encodes texts with ``model``'s text tower up to the longest text of the batch.

    Attention is causal, so what follows the end token cannot matter.
    """

    def __init__(self, model: CLIP) -> None:
        self.model, self.tokenize, self.cache = model, get_tokenizer('ViT-B-16'), {}

    def ids(self, text: str) -> Tensor:
        if text not in self.cache:
            self.cache[text] = self.tokenize([text])[0]
        return self.cache[text]

    def __call__(self, texts: list[str]) -> Tensor:
        ids = torch.stack([self.ids(t) for t in texts])
        end = ids.argmax(1)
        length = int(end.max()) + 1
        m = self.model
        x = F.embedding(ids[:, :length], m.token_embedding.weight, sparse=True)
        x = x + m.positional_embedding[:length]
        x = m.transformer(x, attn_mask=m.attn_mask[:length, :length])
        x = m.ln_final(x)[torch.arange(len(ids)), end] @ m.text_projection
        return F.normalize(x, dim=-1)


@torch.no_grad()
def read_tokens(visual: torch.nn.Module, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Tokens that enter the last block, and the patch attention of the blocks before it."""
    x, maps = embed_patches(visual, image), []
    for block in visual.transformer.resblocks[:-1]:
        x, _, attn = run_block(block, x, 'mean')
        maps.append(attn[:, 1:, 1:])
    return x, maps


class SeedSweep:
    """Seeds of all background scores at once; the best mIoU in per cent, background counted."""

    thresholds = torch.arange(0.05, 0.9, 0.05)

    def __init__(self) -> None:
        self.histogram = 0

    def add(self, cam: Tensor, labels: Tensor, mask: Tensor) -> None:
        cam = upsample(cam, tuple(mask.shape))
        self.histogram = self.histogram + threshold_histogram(
            cam, labels, mask, self.thresholds, len(CLASSES) + 1
        )

    def best(self) -> float:
        scores = segmentation_scores(sweep_matrices(self.histogram))['miou']
        return round(100 * scores.max().item(), 1)


@torch.no_grad()
def evaluate(model: CLIP, encode: TextEncoder, count: int, seed: int) -> dict:
    """Label recall and seed mIoU on ``count`` fresh scenes of the data set's kind.

    Recall: share of the present classes among the best-scored classes, as many as are present.
    Seeds: softmax Grad-CAM of the present classes, before and after two steps along the
    Sinkhorn-normalised mean attention of the last four blocks, from inside the box mask.
    """
    visual = model.visual
    last = visual.transformer.resblocks[-1]
    texts = encode([METHOD_TEMPLATE.format(n) for n in NAMES])
    hits, seeds, refined = [], SeedSweep(), SeedSweep()
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        size = tuple(int(s) * PATCH for s in rng.integers(12, 17, 2))
        image, mask, scene = render_scene(rng, size)
        labels = torch.tensor([CLASSES.index(n) for n in scene.objects])
        image = normalize_image(torch.from_numpy(image).permute(2, 0, 1)[None])
        tokens, maps = read_tokens(visual, image)
        features = torch.cat(pool_tokens(visual, run_block(last, tokens).tokens))
        ranked = (features @ texts[: len(CLASSES)].T).topk(len(labels)).indices
        hits.append(torch.stack([torch.isin(labels, r) for r in ranked]))
        present = torch.ones(1, len(NAMES), dtype=torch.bool)
        present[0, : len(CLASSES)] = torch.isin(torch.arange(len(CLASSES)), labels)
        first = torch.zeros_like(labels)
        result = clip_softmax_gradcam(
            last, visual.ln_post, visual.proj, tokens, texts, present,
            model.logit_scale.exp(), first, labels,
        )  # fmt: skip
        cam = result.cam.relu().view(-1, size[0] // PATCH, size[1] // PATCH)
        cam = minmax_normalize(cam)
        attn = mean_attention(torch.stack([*maps, result.attn[:, 1:, 1:]]), 4)
        boxed = cam * box_mask(cam, 0.4)
        spread = propagate(sinkhorn_symmetric(attn), boxed.flatten(1), first).view_as(cam)
        seeds.add(cam, labels, torch.from_numpy(mask))
        refined.add(minmax_normalize(spread), labels, torch.from_numpy(mask))
    recall_cls, recall_patch = torch.cat(hits, 1).float().mean(1).tolist()
    return dict(
        images=count,
        recall_cls=round(recall_cls, 3),
        recall_mean_patch=round(recall_patch, 3),
        seed_miou=seeds.best(),
        refined_miou=refined.best(),
    )
