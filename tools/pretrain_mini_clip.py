"""Pre-train the mini CLIP contrastively on captions of freshly rendered images.

    python tools/pretrain_mini_clip.py work_dirs/mini_clip

No image is seen twice and none of the mini data set is used: batch ``t`` is rendered from the
seeds ``(SEED, t, i)``. Only captions supervise (which objects, which ground), never masks. The
same command resumes from ``<work_dir>/last.pth``. At each evaluation the weights are judged by
label recall and Grad-CAM seeds on other fresh images; the best go to ``--out``.
"""

import argparse
import json
import math
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from _mini_clip import (
    METHOD_TEMPLATE,
    NAMES,
    PATCH,
    TextEncoder,
    build_model,
    evaluate,
    normalize_image,
    pool_tokens,
)
from _training import load_last, save_last
from open_clip.model import CLIP
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmwsss.datasets.mini_render import CLASSES, GROUNDS, render_scene
from mmwsss.ops.clip.vit import embed_patches, self_attention
from mmwsss.utils.io import atomic_write

SEED = 20_240
EVAL_SEED = 77_000
REPORT_SEED = 88_000
LOCAL_SHARPNESS = 5.0
KEPT_SHARE = 0.5
MOSAIC_SHARE = 0.6
MAX_TILES = 4
LAYERS = 6
GROUPING_WEIGHT = 2.0
MEAN_PATCH_WEIGHT = 0.5
EXPLAINED_WEIGHT = 2.0
TEMPLATES = (
    METHOD_TEMPLATE,
    'a photo of a {}.',
    'a picture of {}.',
    'a drawing of a {}.',
    'an image with a {}.',
    'a rendering of a {}.',
    '{}',
)


# ---------------------------------------------------------------------------------------------
# images and captions


def sample_training_image(
    rng: np.random.Generator, size: tuple[int, int], scenes: bool = True
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """55 % close-ups on any ground, 10 % grounds alone, the rest scenes like the data set's.

    Without ``scenes``, every fourth image is a ground alone and the others are close-ups.
    """
    kind = rng.uniform() if scenes else rng.uniform(0.25, 0.65)
    if kind < 0.55:
        names, ground = [str(rng.choice(CLASSES))], str(rng.choice(GROUNDS))
        sides = (min(28.0, 0.7 * min(size)), 1.0 * min(size))
    elif kind < 0.65:
        names, ground, sides = [], str(rng.choice(GROUNDS)), (1.0, 1.0)
    else:
        names, ground, sides = None, None, (28.0, 0.8 * min(size))
    image, _, scene = render_scene(rng, size, names, ground, sides)
    return image, scene.objects, scene.grounds


def write_caption(rng: np.random.Generator, objects: list[str], grounds: list[str]) -> str:
    """A sentence that names everything, e.g. ``a photo of a cow and a tree on grass.``"""
    things = ' and '.join(f'a {name}' for name in rng.permutation(objects))
    place = ' and '.join(grounds)
    start = str(rng.choice(('a photo of', 'a picture of', 'an image with', 'a drawing of')))
    return f'{start} {things} on {place}.' if objects else f'{start} {place}.'


def sample_mosaic(
    rng: np.random.Generator, cells: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, list[tuple], list[tuple]]:
    """Up to four pictures side by side, cut at patch borders.

    Returns:
        The image, the tile of every patch, and every tile's objects and grounds.
    """
    cuts = []
    for side in cells:
        cut = [int(rng.integers(side // 3, side - side // 3 + 1))] if rng.uniform() < 0.8 else []
        cuts.append([0, *cut, side])
    image = np.empty((cells[0] * PATCH, cells[1] * PATCH, 3), np.uint8)
    tiles, objects, grounds = np.zeros(cells, np.int64), [], []
    for top, bottom in pairwise(cuts[0]):
        for left, right in pairwise(cuts[1]):
            size = ((bottom - top) * PATCH, (right - left) * PATCH)
            picture, names, places = sample_training_image(rng, size, scenes=False)
            image[top * PATCH : bottom * PATCH, left * PATCH : right * PATCH] = picture
            tiles[top:bottom, left:right] = len(objects)
            objects.append(names)
            grounds.append(places)
    return image, tiles, objects, grounds


class FreshBatches(Dataset):
    """Batch ``step`` is a pure function of the seed: images, names shown, captions, prompts."""

    def __init__(self, steps: int, fine_from: int, batch: int) -> None:
        self.steps, self.fine_from, self.batch = steps, fine_from, batch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict:
        cv2.setNumThreads(0)
        rng = np.random.default_rng((SEED, step))
        if step < self.fine_from:
            cells = ((8, 8), (9, 9), (8, 10), (10, 8))[rng.integers(4)]
        else:
            cells = ((14, 14), (13, 15), (15, 13), (12, 16))[rng.integers(4)]
        images, captions, tile_of_caption = [], [], []
        tiles = np.zeros((self.batch, *cells), np.int64)
        shown = np.zeros((self.batch, MAX_TILES, len(NAMES)), np.float32)
        for index in range(self.batch):
            image_rng = np.random.default_rng((SEED, step, index))
            if image_rng.uniform() < MOSAIC_SHARE:
                image, tiles[index], objects, grounds = sample_mosaic(image_rng, cells)
            else:
                size = (PATCH * cells[0], PATCH * cells[1])
                image, names, places = sample_training_image(image_rng, size)
                objects, grounds = [names], [places]
            images.append(image)
            for tile, (names, places) in enumerate(zip(objects, grounds, strict=True)):
                shown[index, tile, [NAMES.index(n) for n in names + places]] = 1
                captions.append(write_caption(image_rng, list(names), list(places)))
                tile_of_caption.append((index, tile))
        kept = rng.random((self.batch, cells[0] * cells[1])).argsort(1)
        if step >= self.fine_from:
            kept = kept[:, : int(KEPT_SHARE * kept.shape[1])]
        unique = sorted(set(captions))
        prompts = [
            (METHOD_TEMPLATE if rng.uniform() < 0.4 else str(rng.choice(TEMPLATES))).format(n)
            for n in NAMES
        ]
        return dict(
            images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            kept=torch.from_numpy(kept),
            tiles=torch.from_numpy(tiles).flatten(1),
            without_residual=int(rng.choice((-1, LAYERS - 1, LAYERS - 2), p=(0.3, 0.5, 0.2))),
            shown=torch.from_numpy(shown),
            texts=prompts + unique,
            tile_of_caption=torch.tensor(tile_of_caption).T,
            caption_index=torch.tensor([unique.index(c) for c in captions]),
        )


# ---------------------------------------------------------------------------------------------
# loss


class FusedQuickGELU(torch.nn.Module):
    """``x * sigmoid(1.702 x)`` through the fused SiLU kernel: a tenth of a step faster."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(1.702 * x) / 1.702


def use_fused_gelu(model: CLIP) -> None:
    for block in (*model.visual.transformer.resblocks, *model.transformer.resblocks):
        block.mlp.gelu = FusedQuickGELU()


def shared_contrastive(logits: Tensor, positive: Tensor) -> Tensor:
    """Symmetric cross-entropy where all true pairs of a row (column) share the target mass.

    Args:
        logits: ``(B, T)`` image-text similarities.
        positive: ``(B, T)``, 1 where the text is true of the image.
    """
    losses = []
    for z, p in ((logits, positive), (logits.T, positive.T)):
        z, p = z[p.sum(1) > 0], p[p.sum(1) > 0]
        losses.append(-(F.log_softmax(z, 1) * p / p.sum(1, keepdim=True)).sum(1).mean())
    return sum(losses) / 2


def pooling_loss(similarity: Tensor, shown: Tensor, scale: Tensor) -> Tensor:
    """Contrastive loss of patch-aligned pooling (Mukhoti et al., CVPR 2023): the patches that
    agree with a name count more, for a name must be true of some place.

    Args:
        similarity: cosines of patches and name prompts ``(B, N, T)``.
        shown: ``(B, T)``, 1 where the image shows the name.
        scale: the logit scale.
    """
    pooled = ((LOCAL_SHARPNESS * similarity).softmax(1) * similarity).sum(1)
    return shared_contrastive(scale * pooled, shown)


def explanation_loss(similarity: Tensor, possible: Tensor, scale: Tensor) -> Tensor:
    """Mean negative log-probability that a patch is one of the names of its tile.

    Args:
        similarity: ``(B, N, T)``.
        possible: ``(B, N, T)``, 1 for the names of the patch's tile.
        scale: the logit scale.
    """
    log_prob = (scale * similarity).log_softmax(2)
    return -log_prob.masked_fill(possible == 0, -torch.inf).logsumexp(2).mean()


def grouping_loss(attn: Tensor, similarity: Tensor, possible: Tensor, scale: Tensor) -> Tensor:
    """Patches attend to patches of their own kind.

    A patch's name distribution (among its tile's names, from the model itself, no gradient) must
    be what the patches it attends to have, itself left out: ``-sum_c p_nc log(sum_m A_nm p_mc)``.
    Every name found in an image counts the same, however many patches it has.

    Args:
        attn: Head-averaged attention between patches ``(blocks, B, N, N)``.
        similarity, possible: ``(B, N, T)``, as in :func:`explanation_loss`.
        scale: the logit scale.
    """
    logits = (scale * similarity).masked_fill(possible == 0, -torch.inf)
    prob = logits.softmax(-1).detach()
    others = attn.masked_fill(torch.eye(attn.shape[-1], dtype=torch.bool), 0)
    others = others / others.sum(-1, keepdim=True)
    gathered = (others @ prob).clamp(min=1e-6)
    error = -(prob * gathered.log()).sum(-1).mean(0)  # (B, N)
    kind = F.one_hot(prob.argmax(-1), prob.shape[-1]).float()
    weight = 1 / (kind * kind.sum(1, keepdim=True)).sum(-1)
    return (error * weight).sum() / weight.sum()


def tile_means(patches: Tensor, tiles: Tensor, index: Tensor) -> Tensor:
    """Normalised mean patch feature of the tiles ``index`` ``(2, K)`` (image, tile): ``(K, D)``."""
    member = F.one_hot(tiles, MAX_TILES).float()
    member = member / member.sum(1, keepdim=True).clamp(min=1)
    means = member.transpose(1, 2) @ patches
    return F.normalize(means[index[0], index[1]], dim=-1)


def compute_loss(model: CLIP, encode: TextEncoder, batch: dict) -> Tensor:
    """Names against the class token and the mean patch token of the image; names and captions
    against the mean patch token of every tile; names against the single patches of the last two
    blocks, where a patch must be explained by what its own tile shows."""
    visual, shown, index = model.visual, batch['shown'], batch['tile_of_caption']
    tokens = embed_patches(visual, normalize_image(batch['images']))
    kept = F.pad(batch['kept'] + 1, (1, 0))[..., None].expand(-1, -1, tokens.shape[2])
    tokens = [tokens.gather(1, kept)]
    attn = []
    for depth, block in enumerate(visual.transformer.resblocks):
        out, weights = self_attention(block.attn, block.ln_1(tokens[-1]), 'mean')
        x = out if depth == batch['without_residual'] else tokens[-1] + out
        tokens.append(x + block.mlp(block.ln_2(x)))
        attn.append(weights[:, 1:, 1:])
    tiles = batch['tiles'].gather(1, batch['kept'])
    possible = shown.gather(1, tiles[..., None].expand(-1, -1, len(NAMES)))
    text = encode(batch['texts'])
    names, captions = text[: len(NAMES)], text[len(NAMES) :]
    scale, whole = model.logit_scale.exp(), shown.amax(1)
    loss = torch.zeros(())
    for depth, weight in ((-2, 0.5), (-1, 1.0)):
        patches = visual.ln_post(tokens[depth][:, 1:]) @ visual.proj
        similarity = F.normalize(patches, dim=-1) @ names.T
        loss = loss + weight * EXPLAINED_WEIGHT * explanation_loss(similarity, possible, scale)
        loss = loss + weight * pooling_loss(similarity, whole, scale)
    loss = loss + GROUPING_WEIGHT * grouping_loss(
        torch.stack(attn[2:]), similarity, possible, scale
    )
    means = scale * tile_means(patches, tiles, index)
    true_caption = F.one_hot(batch['caption_index'], len(captions)).float()
    loss = loss + shared_contrastive(means @ names.T, shown[index[0], index[1]])
    loss = loss + 0.5 * shared_contrastive(means @ captions.T, true_caption)
    for weight, feature in zip(
        (1.0, MEAN_PATCH_WEIGHT), pool_tokens(visual, tokens[-1]), strict=True
    ):
        loss = loss + weight * shared_contrastive(scale * feature @ names.T, whole)
    return loss


# ---------------------------------------------------------------------------------------------
# training


def export(model: CLIP, path: Path, training: dict) -> None:
    """Write OpenAI-named half-precision weights, atomically."""
    state = {
        k: v.detach().half().contiguous() for k, v in model.state_dict().items() if k != 'attn_mask'
    }
    meta = dict(model='mini-clip', quick_gelu='true', training=json.dumps(training))
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(state, metadata=meta))


def build_optimizers(model: CLIP, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW for the towers, SparseAdam for the token table of which a batch uses few rows."""
    table = model.token_embedding.weight
    rest = [p for p in model.parameters() if p is not table]
    decay = [p for p in rest if p.ndim >= 2]
    plain = [p for p in rest if p.ndim < 2]
    groups = [dict(params=decay, weight_decay=0.05), dict(params=plain, weight_decay=0.0)]
    return [
        torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98)),
        torch.optim.SparseAdam([table], lr=lr),
    ]


def learning_rate(step: int, steps: int, peak: float, warmup: int = 200) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def merit(figures: dict) -> float:
    """What the checkpoint is chosen by: seeds, refined seeds and recall, in per cent."""
    return figures['seed_miou'] + figures['refined_miou'] + 50 * figures['recall_mean_patch']


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(SEED)
    model = build_model()
    use_fused_gelu(model)
    encode = TextEncoder(model)
    optimizers = build_optimizers(model, args.lr)
    last = args.work_dir / 'last.pth'
    start, best = 0, -1.0
    names = ('steps', 'fine_from', 'batch', 'lr', 'eval_every', 'eval_images')
    settings = {name: getattr(args, name) for name in names}
    if saved := load_last(last, settings):
        model.load_state_dict(saved['model'])
        for optimizer, state in zip(optimizers, saved['optimizers'], strict=True):
            optimizer.load_state_dict(state)
        start, best = saved['step'], saved['best']
        print(f'resumed at step {start}')
    data = FreshBatches(args.steps, int(args.fine_from * args.steps), args.batch)
    loader = DataLoader(
        data, None, sampler=range(start, args.steps), num_workers=1, prefetch_factor=4
    )
    began, running = time.time(), []
    for step, batch in enumerate(loader, start=start):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group['lr'] = learning_rate(step, args.steps, args.lr)
            optimizer.zero_grad()
        loss = compute_loss(model, encode, batch)
        loss.backward()
        dense = [p for p in model.parameters() if p.grad is not None and not p.grad.is_sparse]
        torch.nn.utils.clip_grad_norm_(dense, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100.0))
        running.append(loss.item())
        if (step + 1) % 50 == 0:
            pace = (time.time() - began) / (step + 1 - start)
            print(
                f'step {step + 1}/{args.steps} loss {np.mean(running):.3f} '
                f'scale {model.logit_scale.exp().item():.1f} {pace:.3f} s/step',
                flush=True,
            )
            running = []
        if (step + 1) % args.eval_every == 0 or step + 1 == args.steps:
            figures = dict(step=step + 1, **evaluate(model, encode, args.eval_images, EVAL_SEED))
            print(json.dumps(figures), flush=True)
            if (value := merit(figures)) > best:
                best = value
                export(model, args.out, dict(seed=SEED, **figures))
            state = dict(model=model.state_dict(), step=step + 1, best=best)
            state['optimizers'] = [o.state_dict() for o in optimizers]
            save_last(last, settings, **state)


def report(path: Path, count: int) -> dict:
    """Figures of a written file on images that chose nothing."""
    model = build_model()
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return evaluate(model, TextEncoder(model), count, REPORT_SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('work_dir', type=Path, help='where last.pth (for resuming) is kept')
    parser.add_argument('--out', type=Path, default=Path('mmwsss/assets/mini_clip.safetensors'))
    parser.add_argument('--steps', type=int, default=3500)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--lr', type=float, default=1.5e-3)
    parser.add_argument('--fine-from', type=float, default=0.5, help='share of steps at 80 px')
    parser.add_argument('--eval-every', type=int, default=250)
    parser.add_argument('--eval-images', type=int, default=200)
    parser.add_argument('--report-images', type=int, default=300)
    args = parser.parse_args()
    train(args)
    print(f'{args.out}: {json.dumps(report(args.out, args.report_images))}')


if __name__ == '__main__':
    main()
