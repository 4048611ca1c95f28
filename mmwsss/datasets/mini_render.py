"""Procedural renderer of the embedded mini data set.

Everything is a pure function of a ``numpy.random.Generator``: the same seed gives the same
pixels. A scene is a ground with one to three objects on it, each made of several parts.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmwsss.utils.io import write_mask

from ..stores.label_file import write_label_file
from .mini_shapes import SHAPES, TURN, Colour, hsv

Generator = np.random.Generator

GROUNDS = ('water', 'road', 'grass', 'sky', 'sand', 'snow', 'carpet')
CONTEXT = {
    'boat': 'water',
    'car': 'road',
    'tree': 'grass',
    'house': 'snow',
    'bird': 'sky',
    'fish': 'water',
    'cow': 'grass',
    'plane': 'sky',
    'person': 'sand',
    'cat': 'carpet',
}
CLASSES = tuple(CONTEXT)
"""Foreground classes; class ``i`` has the value ``i + 1`` in masks (0 is background)."""

PALETTE = (
    (0, 0, 0),
    (66, 133, 244),
    (219, 68, 55),
    (15, 157, 88),
    (244, 180, 0),
    (0, 188, 212),
    (255, 112, 67),
    (156, 39, 176),
    (121, 134, 203),
    (233, 30, 99),
    (161, 136, 127),
)

SPLITS = {'train': 400, 'val': 100}
_SPLIT_SEEDS = {'train': 11, 'val': 12}
VERSION = 3
"""Raised whenever the rendered pixels change, so that an older ``data/mini`` is noticed."""

NATIVE_SHARE = 0.85
MIN_VISIBLE_SHARE = 0.5


@dataclass(frozen=True)
class Scene:
    """What a rendered image shows: class names and ground names, both sorted, without repeats."""

    objects: tuple[str, ...]
    grounds: tuple[str, ...]


# ---------------------------------------------------------------------------------------------
# grounds


def _soft_noise(rng: Generator, h: int, w: int, cells: int, stretch: float = 1.0) -> np.ndarray:
    """Smooth noise of about unit range, ``(h, w)`` float32."""
    grid = rng.standard_normal((cells, max(2, round(cells / stretch)))).astype(np.float32)
    return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)


def _strokes(
    rng: Generator, image: np.ndarray, count: int, dx: float, dy: float, shade: float
) -> None:
    """Short lines, lighter or darker than what is below them."""
    h, w = image.shape[:2]
    xy = rng.uniform(0, 1, (count, 2)) * (w, h)
    ends = xy + rng.uniform(0.5, 1.2, (count, 1)) * (dx, dy)
    sign = rng.choice((-1.0, 1.0), count)
    for (x0, y0), (x1, y1), s in zip(xy.astype(int), ends.astype(int), sign, strict=True):
        colour = image[min(y0, h - 1), min(x0, w - 1)] + s * shade
        cv2.line(image, (int(x0), int(y0)), (int(x1), int(y1)), colour.tolist(), 1)


def _ground(rng: Generator, name: str, h: int, w: int) -> np.ndarray:
    """A textured ground, ``(h, w, 3)`` float32 in about [0, 255]."""
    base = {
        'water': hsv(rng.uniform(0.53, 0.62), rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.7)),
        'road': hsv(rng.uniform(), 0.05, rng.uniform(0.3, 0.5)),
        'grass': hsv(rng.uniform(0.22, 0.33), rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.7)),
        'sky': hsv(rng.uniform(0.54, 0.62), rng.uniform(0.15, 0.45), rng.uniform(0.8, 1.0)),
        'sand': hsv(rng.uniform(0.09, 0.13), rng.uniform(0.3, 0.5), rng.uniform(0.7, 0.95)),
        'snow': hsv(rng.uniform(0.55, 0.65), rng.uniform(0.02, 0.1), rng.uniform(0.88, 1.0)),
        'carpet': hsv(rng.uniform(0.75, 1.02), rng.uniform(0.4, 0.75), rng.uniform(0.35, 0.65)),
    }[name]
    image = np.empty((h, w, 3), np.float32)
    image[:] = base
    if name == 'water':
        image += 12 * _soft_noise(rng, h, w, 12, stretch=4)[..., None]
        _strokes(rng, image, h * w // 450, 14, 0, 26)
    elif name == 'road':
        image += 6 * _soft_noise(rng, h, w, 20)[..., None]
        for x in np.arange(rng.uniform(0, 30), w, 40):
            y = int(rng.uniform(0.2, 0.9) * h)
            cv2.rectangle(image, (int(x), y), (int(x) + 16, y + 3), (225, 220, 190), -1)
    elif name == 'grass':
        image += 8 * _soft_noise(rng, h, w, 8)[..., None]
        _strokes(rng, image, h * w // 130, 1, -6, 24)
    elif name == 'sky':
        cloud = np.clip(_soft_noise(rng, h, w, 5, stretch=1.5) - rng.uniform(-0.2, 0.8), 0, 1)
        image += (245 - image) * cloud[..., None]
    elif name == 'sand':
        image += 5 * _soft_noise(rng, h, w, 6, stretch=2)[..., None]
        image += 11 * rng.standard_normal((h, w, 1), dtype=np.float32)
    elif name == 'snow':
        image -= 14 * np.abs(_soft_noise(rng, h, w, 4, stretch=2))[..., None] * (1.2, 0.9, 0.5)
    else:
        _carpet(rng, image, base)
    return image


def _carpet(rng: Generator, image: np.ndarray, base: Colour) -> None:
    """Stripes or checks in a second colour."""
    h, w = image.shape[:2]
    period = int(rng.integers(8, 18))
    second = np.array(base, np.float32) * rng.uniform(0.55, 0.8)
    rows = (np.arange(h) + rng.integers(period)) // (period // 2) % 2
    cols = (np.arange(w) + rng.integers(period)) // (period // 2) % 2
    pattern = (rows[:, None] ^ cols[None]) if rng.uniform() < 0.5 else np.tile(cols, (h, 1))
    image[pattern.astype(bool)] = second


def _background(rng: Generator, name: str, h: int, w: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """A ground that fills the image, sometimes with a strip of sky above it."""
    image = _ground(rng, name, h, w)
    if name not in ('sky', 'carpet') and rng.uniform() < 0.25:
        horizon = int(rng.uniform(0.15, 0.4) * h)
        image[:horizon] = _ground(rng, 'sky', h, w)[:horizon]
        return image, tuple(sorted({name, 'sky'}))
    return image, (name,)


# ---------------------------------------------------------------------------------------------
# scenes


def _draw_object(
    rng: Generator,
    image: np.ndarray,
    mask: np.ndarray,
    name: str,
    centre: tuple[float, float],
    side: float,
) -> int:
    """Draw one object into ``image`` and ``mask``; returns the number of pixels it covers."""
    angle = np.deg2rad(rng.uniform(-1, 1) * TURN.get(name, 8))
    flip = rng.choice((-1.0, 1.0))
    stretch = np.array([flip * rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.0)]) * side / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    own = np.zeros_like(mask)
    for points, colour in SHAPES[name](rng):
        xy = np.round((points * stretch) @ turn * 16 + np.multiply(centre, 16)).astype(np.int32)
        cv2.fillPoly(image, [xy], colour, shift=4)
        cv2.fillPoly(own, [xy], 1, shift=4)
    inside = own.astype(bool)
    texture = rng.uniform(2, 7) * _soft_noise(rng, *mask.shape, 24)
    image += (texture * own)[..., None]
    mask[inside] = CLASSES.index(name) + 1
    return int(inside.sum())


def _light(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Lighting gradient, gain, colour cast, slight blur and sensor noise; uint8."""
    h, w = image.shape[:2]
    slope = rng.uniform(-0.18, 0.18, 2)
    ramp = (
        1
        + slope[0] * np.linspace(-1, 1, h, dtype=np.float32)[:, None]
        + slope[1] * np.linspace(-1, 1, w, dtype=np.float32)
    )
    gain = (rng.uniform(0.75, 1.15) * rng.uniform(0.93, 1.07, 3)).astype(np.float32)
    image = cv2.GaussianBlur(image * (ramp[..., None] * gain), (3, 3), rng.uniform(0.3, 0.6))
    image += rng.uniform(1, 7) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def _pick_class(rng: Generator, ground: str) -> str:
    """A class that belongs on the ground with probability ``NATIVE_SHARE``, else a stranger."""
    native = rng.uniform() < NATIVE_SHARE
    return str(rng.choice([c for c in CLASSES if (CONTEXT[c] == ground) == native]))


def _place(rng: Generator, h: int, w: int, side: float, taken: list) -> tuple[float, float]:
    """A centre inside the image, preferably with little overlap with what is there."""
    margin = 0.42 * side
    best, best_gap = None, -np.inf
    for _ in range(6):
        cx = rng.uniform(min(margin, w / 2), max(w - margin, w / 2))
        cy = rng.uniform(min(margin, h / 2), max(h - margin, h / 2))
        gaps = [max(abs(cx - x), abs(cy - y)) / (side + s) * 2 for x, y, s in taken]
        gap = min(gaps, default=1.0)
        if gap > 0.75:
            return cx, cy
        if gap > best_gap:
            best, best_gap = (cx, cy), gap
    return best


def render_scene(
    rng: Generator,
    size: tuple[int, int],
    names: list[str] | None = None,
    ground: str | None = None,
    sides: tuple[float, float] = (44.0, 110.0),
) -> tuple[np.ndarray, np.ndarray, Scene]:
    """Render one image and its mask.

    Args:
        rng: source of all randomness.
        size: ``(H, W)`` in pixels.
        names: classes of the objects, back to front; None draws one to three, most of them
            belonging on the ground.
        ground: a name of ``GROUNDS``; None draws one in proportion to the classes it is the
            context of, so that every class meets its context in about 80 % of its images.
        sides: smallest and largest object side in pixels, drawn log-uniformly.

    Returns:
        image ``(H, W, 3)`` uint8 RGB, mask ``(H, W)`` uint8 (0 background, i + 1 for
        ``CLASSES[i]``) and the :class:`Scene`. At least half of every object is visible.
    """
    h, w = size
    if ground is None:
        ground = CONTEXT[str(rng.choice(CLASSES))]
    if names is None:
        count = int(rng.choice((1, 2, 3), p=(0.4, 0.4, 0.2)))
        names = [_pick_class(rng, ground) for _ in range(count)]
    plain, grounds = _background(rng, ground, h, w)
    while True:
        image, mask = plain.copy(), np.zeros((h, w), np.uint8)
        owner, taken, areas = np.zeros((h, w), np.uint8), [], []
        for index, name in enumerate(names, start=1):
            side = float(np.exp(rng.uniform(*np.log(sides))))
            cx, cy = _place(rng, h, w, side, taken)
            taken.append((cx, cy, side))
            before = mask.copy()
            mask[:] = 0
            areas.append(_draw_object(rng, image, mask, name, (cx, cy), side))
            owner[mask > 0] = index
            mask[:] = np.where(mask > 0, mask, before)
        visible = np.bincount(owner.ravel(), minlength=len(names) + 1)[1:]
        if (visible >= MIN_VISIBLE_SHARE * np.array(areas)).all():
            return _light(rng, image), mask, Scene(tuple(sorted(set(names))), grounds)


# ---------------------------------------------------------------------------------------------
# the data set


def render_mini(split: str, index: int) -> tuple[np.ndarray, np.ndarray, Scene]:
    """Image, mask and scene ``index`` of a split; see :func:`render_scene`."""
    rng = np.random.default_rng((_SPLIT_SEEDS[split], index))
    height, width = rng.integers(96, 129, 2)
    return render_scene(rng, (int(height), int(width)))


def mini_id(split: str, index: int) -> str:
    """Image id, ``train_0007``."""
    return f'{split}_{index:04d}'


def write_mini(root: str | os.PathLike, splits: Mapping[str, int] | None = None) -> Path:
    """Render the whole data set into ``root`` in VOC layout, once.

    The files are made in a temporary folder beside ``root`` that is renamed at the end: the set
    is there whole or not at all, and of several processes one wins while the others' copies,
    which are equal, are dropped.

    Args:
        root: Folder of the data set.
        splits: Images of each split in place of ``SPLITS``, for tests.

    Returns:
        ``root``.

    Raises:
        ValueError: ``root`` exists and is not the mini data set of this version.
        OSError: The parent folder is not writable.
    """
    root = Path(root)
    if root.exists():
        return _check_version(root)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    except OSError as error:
        raise OSError(
            f'Cannot render the mini data set into {root}: {root.parent} is not writable '
            f'({error}). Choose another data_root.'
        ) from error
    try:
        _write_files(staging, splits or SPLITS)
        staging.chmod(0o755)
        os.rename(staging, root)
    except OSError:
        if not root.exists():
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return _check_version(root)


def _check_version(root: Path) -> Path:
    version = root / 'version.txt'
    found = version.read_text().strip() if version.is_file() else 'none'
    if found != str(VERSION):
        raise ValueError(
            f'{root} is not the mini data set of this release (version {found}, expected '
            f'{VERSION}). Delete the folder, it is rendered again at the next use, or choose '
            'another data_root.'
        )
    return root


def _write_files(root: Path, splits: Mapping[str, int]) -> None:
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    labels = {}
    for split, count in splits.items():
        ids = [mini_id(split, index) for index in range(count)]
        for index, name in enumerate(ids):
            image, mask, scene = render_mini(split, index)
            path = root / 'JPEGImages' / f'{name}.png'
            if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
                raise OSError(f'Cannot write {path}.')
            write_mask(root / 'SegmentationClass' / f'{name}.png', mask, PALETTE)
            labels[name] = list(scene.objects)
        (root / 'ImageSets/Segmentation' / f'{split}.txt').write_text('\n'.join(ids) + '\n')
    write_label_file(root / 'image_labels.json', labels)
    (root / 'version.txt').write_text(f'{VERSION}\n')
