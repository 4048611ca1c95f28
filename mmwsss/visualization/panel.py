"""One picture per image: the image, its cams, the pseudo mask, the prediction and the truth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..stores.palettes import colour_table
from ..utils.io import IGNORE

MIN_SIDE, MAX_SIDE = 256, 384
MAX_CAMS = 4
GAP = 3
MARGIN, HEADER, LEGEND_ROW, FONT_SIZE = 6, 26, 24, 15
PAPER, INK = (255, 255, 255), (30, 30, 30)


def draw_panel(
    image: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    cam: np.ndarray | None = None,
    cam_labels: Sequence[int] = (),
    pseudo_mask: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the columns that are given side by side, named, above a legend of their classes.

    Args:
        image: uint8 RGB ``(H, W, 3)``. Small images are enlarged, large ones reduced.
        classes: Names of the mask values ``0..n-1``.
        palette: ``(n, 3)`` RGB colours of the classes.
        cam: ``(K, h, w)`` activation maps in [0, 1], a column each; their maximum if K > 4.
        cam_labels: ``(K,)`` 0-based foreground indices (class ``i + 1``).
        pseudo_mask: ``(H, W)`` label map; 255 is drawn as *ignore*.
        prediction: The same.
        truth: The same.

    Returns:
        uint8 RGB picture.

    Raises:
        ValueError: A mask of another size than the image, a value without a class, or maps that
            do not fit their labels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'expected a uint8 RGB image, got {image.dtype} of shape {image.shape}')
    colours = colour_table(palette)
    scale = np.clip(max(image.shape[:2]), MIN_SIDE, MAX_SIDE) / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    shrinks = scale < 1
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    columns = [('image', canvas)]
    shown: set[int] = set()
    if cam is not None:
        for title, heat in _cam_columns(np.asarray(cam), cam_labels, classes):
            columns.append((title, overlay_cam(canvas, heat)))
    named_masks = (('pseudo mask', pseudo_mask), ('prediction', prediction), ('truth', truth))
    for title, mask in named_masks:
        if mask is None:
            continue
        shown |= _check_mask(title, mask, image.shape[:2], len(classes))
        columns.append((title, overlay_mask(canvas, mask, colours)))
    legend = [(classes[i], colours[i]) for i in sorted(shown - {IGNORE})]
    if IGNORE in shown:
        legend.append(('ignore', colours[IGNORE]))
    return _compose(columns, legend)


def overlay_cam(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend a map ``(h, w)`` in [0, 1] onto a uint8 RGB image, the stronger the more opaque."""
    heat = cv2.resize(heat.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    heat = np.clip(np.nan_to_num(heat), 0, 1)
    colour = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    alpha = 0.35 + 0.4 * heat[..., None]
    return (alpha * colour + (1 - alpha) * image).astype(np.uint8)


def overlay_mask(image: np.ndarray, mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Blend a label map onto a uint8 RGB image and outline its regions in white.

    Args:
        image: ``(H, W, 3)``.
        mask: ``(h, w)`` values that index ``colours``; enlarged without interpolation.
        colours: ``(256, 3)`` uint8 RGB.
    """
    mask = cv2.resize(mask.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    alpha = np.where(mask == 0, 0.5, 0.65)[..., None]
    blend = (alpha * colours[mask] + (1 - alpha) * grey).astype(np.uint8)
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    blend[(grown != mask) & (mask != IGNORE) & (grown != IGNORE)] = 255
    return blend


def draw_strip(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] | None,
    colours: np.ndarray,
    height: int = 96,
) -> np.ndarray:
    """Images beside each other at one height, with label maps laid on them; None: without.

    Args:
        images: uint8 RGB ``(H, W, 3)``.
        masks: ``(H, W)`` of each.
        colours: ``(256, 3)`` uint8 RGB of their values.
        height: Of the strip.

    Returns:
        uint8 RGB picture.
    """
    tiles = []
    for number, image in enumerate(images):
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        tiles.append(tile if masks is None else overlay_mask(tile, masks[number], colours))
    gap = np.full((height, GAP, 3), 128, np.uint8)  # neither white nor black paper
    joined = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(joined, axis=1)


def _cam_columns(
    cam: np.ndarray, labels: Sequence[int], classes: Sequence[str]
) -> list[tuple[str, np.ndarray]]:
    labels = [int(i) for i in labels]
    if cam.ndim != 3 or len(cam) != len(labels):
        raise ValueError(f'cam of shape {cam.shape} does not fit {len(labels)} labels')
    if any(i < 0 or i + 1 >= len(classes) for i in labels):
        raise ValueError(
            f'cam labels {labels} are not foreground indices of {len(classes)} classes'
        )
    if len(labels) > MAX_CAMS:
        return [(f'cam: max of {len(labels)}', cam.max(0))]
    return [(f'cam: {classes[i + 1]}', heat) for i, heat in zip(labels, cam, strict=True)]


def _check_mask(title: str, mask: np.ndarray, size: tuple[int, int], num_classes: int) -> set[int]:
    if mask.shape != size:
        raise ValueError(f'the {title} is {mask.shape}, the image {size}')
    values = set(np.unique(mask).tolist())
    strange = sorted(v for v in values if v != IGNORE and not 0 <= v < num_classes)
    if strange:
        raise ValueError(f'the {title} has values {strange[:5]} outside its {num_classes} classes')
    return values


def _compose(
    columns: list[tuple[str, np.ndarray]], legend: list[tuple[str, np.ndarray]]
) -> np.ndarray:
    """Titles above the columns, the legend below, on white paper."""
    font = ImageFont.load_default(FONT_SIZE)
    height, width = columns[0][1].shape[:2]
    total = len(columns) * (width + MARGIN) + MARGIN
    places, rows = _place_legend(legend, total, font)
    picture = Image.new('RGB', (total, HEADER + height + MARGIN + rows * LEGEND_ROW), PAPER)
    pen = ImageDraw.Draw(picture)
    for i, (title, tile) in enumerate(columns):
        left = MARGIN + i * (width + MARGIN)
        title = _shorten(title, width, font)
        pen.text((left + width / 2, HEADER / 2), title, INK, font, anchor='mm')
        picture.paste(Image.fromarray(tile), (left, HEADER))
    for (name, colour), (x, row) in zip(legend, places, strict=True):
        y = HEADER + height + MARGIN + row * LEGEND_ROW + LEGEND_ROW // 2
        pen.rectangle((x, y - 7, x + 14, y + 7), tuple(int(c) for c in colour), INK)
        pen.text((x + 20, y), name, INK, font, anchor='lm')
    return np.asarray(picture)


def _place_legend(
    legend: list[tuple[str, np.ndarray]], width: int, font: ImageFont.FreeTypeFont
) -> tuple[list[tuple[int, int]], int]:
    """``(x, row)`` of each entry, wrapped at ``width``, and the number of rows."""
    places, x, row = [], MARGIN, 0
    for name, _ in legend:
        step = 20 + int(font.getlength(name)) + 16
        if x > MARGIN and x + step > width:
            x, row = MARGIN, row + 1
        places.append((x, row))
        x += step
    return places, row + 1 if legend else 0


def _shorten(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + '...') > width:
        text = text[:-1]
    return text + '...'
