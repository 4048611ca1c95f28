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
from open_clip.model import CLIP
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmwsss.datasets.mini_render import CLASSES, GROUNDS, render_scene
from mmwsss.ops.clip_vit import embed_patches
from mmwsss.utils.io import atomic_write

SEED = 20_240
EVAL_SEED = 77_000
REPORT_SEED = 88_000
LOCAL_SHARPNESS = 5.0
KEPT_SHARE = 0.5
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
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """55 % close-ups on any ground, 10 % grounds alone, the rest scenes like the data set's."""
    kind = rng.uniform()
    if kind < 0.55:
        names, ground = [str(rng.choice(CLASSES))], str(rng.choice(GROUNDS))
        sides = (28.0, 1.0 * min(size))
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
        size = (PATCH * cells[0], PATCH * cells[1])
        images, shown, captions = [], np.zeros((self.batch, len(NAMES)), np.float32), []
        for index in range(self.batch):
            image_rng = np.random.default_rng((SEED, step, index))
            image, objects, grounds = sample_training_image(image_rng, size)
            images.append(image)
            shown[index, [NAMES.index(n) for n in objects + grounds]] = 1
            captions.append(write_caption(image_rng, list(objects), list(grounds)))
        cells = cells[0] * cells[1]
        kept = rng.random((self.batch, cells)).argsort(1)
        if step >= self.fine_from:
            kept = kept[:, : int(KEPT_SHARE * cells)]
        unique = sorted(set(captions))
        prompts = [
            (METHOD_TEMPLATE if rng.uniform() < 0.4 else str(rng.choice(TEMPLATES))).format(n)
            for n in NAMES
        ]
        return dict(
            images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            kept=torch.from_numpy(kept),
            shown=torch.from_numpy(shown),
            texts=prompts + unique,
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


def patch_losses(similarity: Tensor, shown: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """What the names of an image say about its patches.

    Args:
        similarity: cosines of patches and name prompts ``(B, N, T)``.
        shown: ``(B, T)``, 1 where the image shows the name.
        scale: the logit scale.

    Returns:
        The contrastive loss of patch-aligned pooling (Mukhoti et al., CVPR 2023), in which the
        patches that agree with a name count more: a name must be true of some place. And the
        mean negative log-probability that a patch is one of the names shown: every place must
        be something the image shows.
    """
    pooled = ((LOCAL_SHARPNESS * similarity).softmax(1) * similarity).sum(1)
    log_prob = (scale * similarity).log_softmax(2)
    explained = log_prob.masked_fill(shown[:, None] == 0, -torch.inf).logsumexp(2)
    return shared_contrastive(scale * pooled, shown), -explained.mean()


def compute_loss(model: CLIP, encode: TextEncoder, batch: dict) -> Tensor:
    """Name prompts and whole captions, against the class token and the mean patch token.

    Name prompts also against the patches one by one.
    """
    image = normalize_image(batch['images'])
    tokens = embed_patches(model.visual, image)
    kept = F.pad(batch['kept'] + 1, (1, 0))[..., None].expand(-1, -1, tokens.shape[2])
    tokens = model.visual.transformer(tokens.gather(1, kept))
    text = encode(batch['texts'])
    true_caption = F.one_hot(batch['caption_index'], len(text) - len(NAMES)).float()
    scale = model.logit_scale.exp()
    patches = model.visual.ln_post(tokens[:, 1:]) @ model.visual.proj
    similarity = F.normalize(patches, dim=-1) @ text[: len(NAMES)].T
    somewhere, explained = patch_losses(similarity, batch['shown'], scale)
    loss = somewhere + EXPLAINED_WEIGHT * explained
    features = pool_tokens(model.visual, tokens)
    for weight, feature in zip((1.0, MEAN_PATCH_WEIGHT), features, strict=True):
        logits = scale * feature @ text.T
        loss = loss + weight * shared_contrastive(logits[:, : len(NAMES)], batch['shown'])
        loss = loss + 0.5 * weight * shared_contrastive(logits[:, len(NAMES) :], true_caption)
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
    if last.exists():
        saved = torch.load(last, weights_only=True)
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
            with atomic_write(last) as temporary:
                torch.save(state, temporary)


def report(path: Path, count: int) -> dict:
    """Figures of a written file on images that chose nothing."""
    model = build_model()
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return evaluate(model, TextEncoder(model), count, REPORT_SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('work_dir', type=Path, help='where last.pth (for resuming) is kept')
    parser.add_argument('--out', type=Path, default=Path('mmwsss/assets/mini_clip.safetensors'))
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--lr', type=float, default=1.5e-3)
    parser.add_argument('--fine-from', type=float, default=0.6, help='share of steps at 64-80 px')
    parser.add_argument('--eval-every', type=int, default=200)
    parser.add_argument('--eval-images', type=int, default=200)
    parser.add_argument('--report-images', type=int, default=300)
    args = parser.parse_args()
    train(args)
    print(f'{args.out}: {json.dumps(report(args.out, args.report_images))}')


if __name__ == '__main__':
    main()
