"""Regions of a label map, and their outlines as polygons."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..utils.io import IGNORE


@dataclass(frozen=True)
class Region:
    """Pixels of one foreground class.

    Attributes:
        value: Of the label map.
        top, left: Where the box of the region begins.
        pixels: bool ``(h, w)``, the box.
    """

    value: int
    top: int
    left: int
    pixels: np.ndarray

    def full(self, shape: tuple[int, int]) -> np.ndarray:
        """The region in an image of ``shape``, bool ``(H, W)``."""
        mask = np.zeros(shape, dtype=bool)
        height, width = self.pixels.shape
        mask[self.top : self.top + height, self.left : self.left + width] = self.pixels
        return mask


def classes_of(mask: np.ndarray) -> list[int]:
    """Foreground classes of a label map, sorted, without 0 and 255."""
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    return [value for value in present if value not in (0, IGNORE)]


def class_regions(mask: np.ndarray) -> Iterator[Region]:
    """One region for each foreground class of a label map ``(H, W)``."""
    for value in classes_of(mask):
        inside = mask == value
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        yield Region(value, int(rows[0]), int(columns[0]), box)


def connected_regions(mask: np.ndarray) -> Iterator[Region]:
    """Every connected region of each foreground class; pixels that touch at a corner connect."""
    for value in classes_of(mask):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=8
        )
        for index, (left, top, width, height, _) in enumerate(stats[1:].tolist(), start=1):
            box = labels[top : top + height, left : left + width] == index
            yield Region(value, top, left, box)


def outline(region: Region, tolerance: float = 0.0) -> np.ndarray:
    """One polygon around a connected region, which runs along the edges of its pixels.

    Holes survive: each is joined to the outline on its left by a cut of no width, so that filling
    by the even-odd or the non-zero rule gives just the pixels of the region.

    Args:
        region: Of :func:`connected_regions`.
        tolerance: How far, in pixels, a simplified outline may lie from the true one
            (Douglas-Peucker).

    Returns:
        Corners float64 ``(N, 2)``, x and y; (0, 0) is the upper left corner of the image.
    """
    # Of every pixel four are made, so that OpenCV's contours, through centres, tell its edges.
    fourfold = np.kron(region.pixels.astype(np.uint8), np.ones((2, 2), np.uint8))
    found, tree = cv2.findContours(fourfold, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_corners((points[:, 0].astype(np.int64) + 1) // 2) for points in found]
    if tolerance:
        rings = [_simplify(ring, tolerance) for ring in rings]
    outer = int(np.flatnonzero(tree[0, :, 3] < 0)[0])
    holes = sorted(rings[:outer] + rings[outer + 1 :], key=lambda ring: ring[:, 0].min())
    joined = rings[outer].astype(np.float64)
    for hole in holes:
        joined = _join(joined, hole.astype(np.float64))
    return joined + np.array([region.left, region.top])


def _corners(ring: np.ndarray) -> np.ndarray:
    """A ring without repeated points and those on straight lines."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return ring[turns | back]


def _simplify(ring: np.ndarray, tolerance: float) -> np.ndarray:
    simple = cv2.approxPolyDP(ring.astype(np.int32)[:, None], tolerance, closed=True)[:, 0]
    return simple if len(simple) > 2 else ring


def _join(ring: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Cut from the leftmost corner of a hole to the nearest edge of the ring on its left."""
    start = int(hole[:, 0].argmin())
    hole = np.roll(hole, -start, axis=0)
    (x, y), (x0, y0) = hole[0], ring.T
    x1, y1 = np.roll(ring, -1, axis=0).T
    crossed = (np.minimum(y0, y1) <= y) & (np.maximum(y0, y1) >= y)
    share = np.divide(y - y0, y1 - y0, out=np.zeros_like(y0), where=y1 != y0)
    at = x0 + share * (x1 - x0)
    at[~crossed | (at > x)] = -np.inf
    edge = int(at.argmax())
    if at[edge] == -np.inf:  # simplified rings may pass each other
        at[edge], y = ring[edge]
    gate = np.array([[at[edge], y]])
    return np.concatenate([ring[: edge + 1], gate, hole, hole[:1], gate, ring[edge + 1 :]])
