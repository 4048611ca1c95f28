"""Pre-train the mini DINO by self-supervision on freshly rendered images; no labels of any kind.

    python tools/pretrain_mini_dino.py work_dirs/mini_dino

DINO (arXiv 2104.14294) on the class token and iBOT (arXiv 2111.07832) on patches: a student learns
to give, for one view, what a slowly moving teacher gives for another view of the same image, for
the patches at the same place, and for patches that are hidden from it. No image is seen twice and
none of the mini data set is used. The same command resumes from ``<work_dir>/last.pth``. At the
end a linear classifier of single patches is fitted and judged on other fresh images, beside one on
the mini CLIP's tokens; only there are masks looked at.
"""

import argparse
import copy
import json
import math
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from _mini_clip import normalize_image
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmwsss.datasets.mini_render import CLASSES, GROUNDS, render_scene
from mmwsss.models.backbones import FrozenCLIP, FrozenDINOv2
from mmwsss.models.layers.dino_vit import DinoViT
from mmwsss.ops.confusion import confusion_matrix, segmentation_scores
from mmwsss.utils.io import atomic_write

SEED, EVAL_SEED = 20_260, 99_000
PATCH, TABLE = 7, 16
SOURCE = 144  # side of a rendered image
PROTOTYPES = 512
MOSAIC_SHARE = 0.5
HIDDEN_SHARE = 0.35
TEACHER_TEMPERATURE, STUDENT_TEMPERATURE = 0.05, 0.1


def build_model() -> DinoViT:
    """The mini DINO: 1.2 M parameters, a grid of 16 x 16 patches in 112 pixels."""
    return DinoViT(128, num_layers=6, num_heads=2, patch_size=PATCH, table_size=TABLE)


# ---------------------------------------------------------------------------------------------
# images and views


def render(rng: np.random.Generator) -> np.ndarray:
    """A scene of the data set's kind, or up to four close-ups side by side."""
    if rng.uniform() >= MOSAIC_SHARE:
        return render_scene(rng, (SOURCE, SOURCE))[0]
    image = np.empty((SOURCE, SOURCE, 3), np.uint8)
    rows, columns = ([0, int(rng.integers(48, SOURCE - 47)), SOURCE] for _ in range(2))
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            size = (bottom - top, right - left)
            names = [str(rng.choice(CLASSES))] if rng.uniform() < 0.85 else []
            sides = (0.7 * min(size), 1.0 * min(size)) if names else (1.0, 1.0)
            picture, *_ = render_scene(rng, size, names, str(rng.choice(GROUNDS)), sides)
            image[top:bottom, left:right] = picture
    return image


class FreshViews(Dataset):
    """Batch ``step``: two views of each image, and where their patches lie in it.

    Args:
        steps: Length.
        local_until: Until this step a view has 8 x 8 patches, from then on 16 x 16.
        batch: Images of 8 x 8 patches per step; a third of it of the larger ones.
    """

    def __init__(self, steps: int, local_until: int, batch: int) -> None:
        self.steps, self.local_until, self.batch = steps, local_until, batch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        cv2.setNumThreads(0)
        local = step < self.local_until
        cells, count = (8, self.batch) if local else (16, max(self.batch // 3, 1))
        views = ([], [])
        places = ([], [])
        for index in range(count):
            rng = np.random.default_rng((SEED, step, index))
            image = render(rng)
            centre = rng.uniform(0.3, 0.7, 2) * SOURCE
            for view in range(2):
                pixels, place = sample_view(rng, image, centre, cells)
                views[view].append(pixels)
                places[view].append(place)
        return dict(
            views=torch.stack([torch.from_numpy(np.stack(v)).permute(0, 3, 1, 2) for v in views]),
            places=torch.stack([torch.from_numpy(np.stack(p)) for p in places]),
            hidden=torch.from_numpy(
                hidden_patches(np.random.default_rng((SEED, step)), count, cells)
            ),
        )


def sample_view(
    rng: np.random.Generator, image: np.ndarray, centre: np.ndarray, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """A crop near ``centre`` at about natural scale, perhaps mirrored, with other colours.

    Returns:
        The view, uint8 ``(side, side, 3)``, and the centres of its patches in pixels of the image,
        float32 ``(cells * cells, 2)`` (row, column).
    """
    side = cells * PATCH
    scale = rng.uniform(0.8, 1.3, 2) * rng.choice((1.0, 0.8)) * min(1.0, (SOURCE - 1) / side / 1.3)
    start = np.clip(
        centre + rng.uniform(-0.2, 0.2, 2) * side - scale * side / 2, 0, SOURCE - 1 - scale * side
    )
    sign = -1 if rng.uniform() < 0.5 else 1
    offset = start[1] if sign > 0 else start[1] + scale[1] * (side - 1)
    matrix = np.float32([[sign * scale[1], 0, offset], [0, scale[0], start[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT)
    place = (np.arange(cells) + 0.5) * PATCH - 0.5
    rows = start[0] + scale[0] * place
    columns = offset + sign * scale[1] * place
    grid = np.stack(np.meshgrid(rows, columns, indexing='ij'), axis=-1).reshape(-1, 2)
    return jitter(rng, view), grid.astype(np.float32)


def jitter(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Other brightness, contrast and tint; sometimes grey, blurred or noisy."""
    values = view.astype(np.float32)
    if rng.uniform() < 0.1:
        values[:] = values.mean(axis=2, keepdims=True)
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    values = (values - values.mean()) * gain + values.mean() * rng.uniform(0.8, 1.2)
    if rng.uniform() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.3, 1.0))
    values += rng.normal(0, rng.uniform(0, 6), values.shape)
    return values.clip(0, 255).astype(np.uint8)


def hidden_patches(rng: np.random.Generator, count: int, cells: int) -> np.ndarray:
    """Which patches the student does not see, bool ``(2, count, cells * cells)``: rectangles."""
    hidden = np.zeros((2, count, cells, cells), bool)
    for mask in hidden.reshape(-1, cells, cells):
        if rng.uniform() < 0.3:
            continue
        while mask.mean() < HIDDEN_SHARE:
            height, width = rng.integers(cells // 8, cells // 2 + 1, 2)
            top, left = rng.integers(0, cells - height + 1), rng.integers(0, cells - width + 1)
            mask[top : top + height, left : left + width] = True
    return hidden.reshape(2, count, -1)


# ---------------------------------------------------------------------------------------------
# loss


class Learner(nn.Module):
    """The transformer with a mask token and the projection on prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = build_model()
        self.mask_token = nn.Parameter(torch.zeros(128))
        self.head = nn.Sequential(
            nn.Linear(128, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 64)
        )
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, 64))

    def forward(self, image: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Similarities to the prototypes, ``(B, 1 + N, K)`` in [-1, 1]."""
        tokens = self.run(image, hidden)
        return F.normalize(self.head(tokens), dim=-1) @ F.normalize(self.prototypes, dim=-1).T

    def run(self, image: Tensor, hidden: Tensor | None) -> Tensor:
        """Tokens, those of hidden patches made from the mask token."""
        if hidden is None:
            return self.vit(image)

        def hide(_module: nn.Module, _inputs: tuple, patches: Tensor) -> Tensor:
            mask = hidden.view(len(patches), 1, *patches.shape[-2:])
            return torch.where(mask, self.mask_token[:, None, None], patches)

        handle = self.vit.patch_embed.register_forward_hook(hide)
        try:
            return self.vit(image)
        finally:
            handle.remove()


@torch.no_grad()
def spread_over_prototypes(similarity: Tensor, rounds: int = 3) -> Tensor:
    """Targets ``(M, K)`` that use all prototypes alike (Sinkhorn-Knopp, arXiv 2006.09882)."""
    target = (similarity / TEACHER_TEMPERATURE).exp()
    for _ in range(rounds):
        target = target / target.sum(dim=0, keepdim=True)
        target = target / target.sum(dim=1, keepdim=True)
    return target


def cross_entropy(target: Tensor, similarity: Tensor) -> Tensor:
    """Mean over ``(M, K)`` rows."""
    return -(target * (similarity / STUDENT_TEMPERATURE).log_softmax(-1)).sum(-1).mean()


def same_places(places: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Patches of one view and the nearest of the other, at most two thirds of a patch away.

    Args:
        places, others: ``(B, N, 2)``.

    Returns:
        Indices of both in the flattened ``(B * N)``.
    """
    distance = torch.cdist(places, others)
    near, index = distance.min(dim=2)
    offset = torch.arange(len(places))[:, None] * places.shape[1]
    kept = near < 0.67 * PATCH
    return (torch.arange(places.shape[1]) + offset)[kept], (index + offset)[kept]


def compute_loss(student: Learner, teacher: Learner, batch: dict[str, Tensor]) -> Tensor:
    """Class tokens across views, patches across views, hidden patches within a view."""
    views, hidden = (normalize_image(view) for view in batch['views']), batch['hidden']
    views = list(views)
    with torch.no_grad():
        seen = [teacher(view) for view in views]
    given = [student(view, mask) for view, mask in zip(views, hidden, strict=True)]
    count = len(views[0])
    whole = spread_over_prototypes(torch.cat([s[:, 0] for s in seen]))
    parts = spread_over_prototypes(torch.cat([s[:, 1:].flatten(0, 1) for s in seen]))
    parts = parts.chunk(2)
    loss = torch.zeros(())
    for a, b in ((0, 1), (1, 0)):
        loss = loss + cross_entropy(whole[a * count : (a + 1) * count], given[b][:, 0])
        here, there = same_places(batch['places'][a], batch['places'][b])
        patches = given[b][:, 1:].flatten(0, 1)
        loss = loss + cross_entropy(parts[a][here], patches[there])
        mask = hidden[b].flatten()
        if mask.any():
            loss = loss + cross_entropy(parts[b][mask], patches[mask])
    return loss / 2


# ---------------------------------------------------------------------------------------------
# judgement


@torch.no_grad()
def patches_of(encode, patch: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features and classes of single patches of fresh scenes, 112 x 112 pixels."""
    features, classes = [], []
    for index in range(count):
        image, mask, _ = render_scene(np.random.default_rng((seed, index)), (112, 112))
        tokens = encode(normalize_image(torch.from_numpy(image).permute(2, 0, 1)[None]))
        cells = torch.from_numpy(mask).long().unfold(0, patch, patch).unfold(1, patch, patch)
        counts = F.one_hot(cells.flatten(2).flatten(0, 1), len(CLASSES) + 1).sum(1)
        share, label = counts.max(1)
        clear = share > 0.8 * patch * patch
        features.append(F.normalize(tokens[0], dim=-1)[clear])
        classes.append(label[clear])
    return torch.cat(features), torch.cat(classes)


def linear_score(encode, patch: int, count: int = 150) -> float:
    """mIoU (%) of patches classified by ridge regression, fitted on other scenes."""
    x, y = patches_of(encode, patch, count, EVAL_SEED)
    x_test, y_test = patches_of(encode, patch, count, EVAL_SEED + 1)
    weight = (1 / torch.bincount(y, minlength=len(CLASSES) + 1).clamp(min=1).float())[y]
    x, x_test = F.pad(x, (0, 1), value=1.0).double(), F.pad(x_test, (0, 1), value=1.0).double()
    target = F.one_hot(y, len(CLASSES) + 1).double()
    weighted = x * weight[:, None]
    matrix = weighted.T @ x + 1e-4 * torch.eye(x.shape[1])
    found = (x_test @ torch.linalg.solve(matrix, weighted.T @ target)).argmax(1)
    matrix = confusion_matrix(found, y_test, len(CLASSES) + 1)
    return round(100 * segmentation_scores(matrix)['miou'].item(), 1)


def judge(vit: DinoViT) -> dict[str, float]:
    """Linear patch classification of the mini DINO and, beside it, of the mini CLIP."""
    dino, clip = FrozenDINOv2(vit.state_dict()), FrozenCLIP('mini')
    scores = {'dino': linear_score(lambda image: dino.encode(image)[0][:, 1:], PATCH)}
    for name, index in (('clip_last', -1), ('clip_middle', 2)):
        scores[name] = linear_score(
            lambda image, index=index: clip.encode(image).tokens[index][:, 1:], clip.patch_size
        )
    return scores


# ---------------------------------------------------------------------------------------------
# training


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))


def train(args: argparse.Namespace) -> DinoViT:
    """Train, or go on training; gives the teacher's transformer."""
    torch.manual_seed(SEED)
    student = Learner()
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.AdamW(student.parameters(), lr=args.lr, weight_decay=0.04)
    folder, start = Path(args.work_dir), 0
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / 'last.pth'
    if last.is_file():
        state = torch.load(last, weights_only=True)
        student.load_state_dict(state['student'])
        teacher.load_state_dict(state['teacher'])
        optimizer.load_state_dict(state['optimizer'])
        start = state['step']
    data = FreshViews(args.steps, args.local_until, args.batch)
    steps = torch.utils.data.Subset(data, range(start, args.steps))
    loader = DataLoader(steps, batch_size=None, num_workers=args.workers)
    clock, mean = time.time(), 0.0
    for step, batch in enumerate(loader, start):
        for group in optimizer.param_groups:
            group['lr'] = learning_rate(step, args.steps, args.lr)
        loss = compute_loss(student, teacher, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimizer.step()
        momentum = 1 - 0.02 * 0.5 * (1 + math.cos(math.pi * step / args.steps)) - 1e-3
        with torch.no_grad():
            for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
                mine.lerp_(theirs, 1 - momentum)
        mean = loss.item() if step == start else 0.98 * mean + 0.02 * loss.item()
        if (step + 1) % 50 == 0:
            print(
                f'{step + 1}/{args.steps} loss {mean:.3f} {time.time() - clock:.0f} s', flush=True
            )
        if (step + 1) % args.interval == 0 or step + 1 == args.steps:
            print(json.dumps({'step': step + 1, **judge(teacher.vit)}), flush=True)
            with atomic_write(last) as temporary:
                torch.save(
                    dict(
                        student=student.state_dict(),
                        teacher=teacher.state_dict(),
                        optimizer=optimizer.state_dict(),
                        step=step + 1,
                    ),
                    temporary,
                )
    return teacher.vit


def export(vit: DinoViT, path: Path, training: dict) -> None:
    """Write half-precision weights with the official key names, atomically."""
    state = {key: value.detach().half().contiguous() for key, value in vit.state_dict().items()}
    with atomic_write(path) as temporary:
        meta = dict(model='mini-dino', training=json.dumps(training))
        temporary.write_bytes(save(state, metadata=meta))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir')
    parser.add_argument(
        '--out', help='file of the weights; default: <work_dir>/mini_dino.safetensors'
    )
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--local-until', type=int, default=2600, help='steps with 8 x 8 patches')
    parser.add_argument('--batch', type=int, default=24)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--interval', type=int, default=500, help='steps between two judgements')
    args = parser.parse_args()
    vit = train(args)
    scores = judge(vit)
    out = Path(args.out or Path(args.work_dir) / 'mini_dino.safetensors')
    export(vit, out, dict(vars(args), **scores))
    print(f'{out}: {scores}')


if __name__ == '__main__':
    main()
