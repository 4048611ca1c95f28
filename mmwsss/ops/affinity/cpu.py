"""Affinity labels on the CPU by numba, which touches near pairs only."""

import numpy as np

from ..kernels.compiled import compiled


@compiled(fastmath=False)
def label_near_pairs(  # pragma: no cover - compiled
    cells: np.ndarray, grid: tuple[int, int], radius: int, out: np.ndarray
) -> None:
    """Write 1 (same class) or 0 for the known pairs at most ``radius`` apart into ``out``.

    Args:
        cells: Labels int64 ``(B, h, w)``, 255 unknown.
        grid: (h, w).
        radius: Largest distance in row and in column.
        out: uint8 ``(B, h * w, h * w)`` of 255.
    """
    h, w = grid
    for b in range(len(cells)):
        for y in range(h):
            for x in range(w):
                label = cells[b, y, x]
                if label == 255:
                    continue
                left, right = max(0, x - radius), min(w, x + radius + 1)
                for near in range(max(0, y - radius), min(h, y + radius + 1)):
                    source = cells[b, near, left:right]
                    target = out[b, y * w + x, near * w + left : near * w + right]
                    for i in range(len(source)):
                        target[i] = 255 if source[i] == 255 else source[i] == label
