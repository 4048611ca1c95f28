"""Label maps of the best score on the CPU by numba, in one pass over the scores."""

import numpy as np
import torch
from torch import Tensor

from ..kernels.compiled import compiled


@compiled(fastmath=False)
def _label_rows(scores, table, present, low, high, ignore, box, out):  # pragma: no cover - compiled
    channels, height, width = scores.shape[1:]
    best, label = np.empty(width, scores.dtype), np.empty(width, np.int64)
    for b in range(len(scores)):
        y0, y1, x0, x1 = box[b]
        for y in range(height):
            best[:] = -np.inf
            label[:] = table[b, 0]
            for k in range(channels):
                if not present[b, k]:
                    continue
                row, value = scores[b, k, y], table[b, k]
                for x in range(width):
                    better = (row[x] > best[x]) | ((row[x] != row[x]) & (best[x] == best[x]))
                    best[x] = row[x] if better else best[x]
                    label[x] = value if better else label[x]
            line = out[b, y]
            for x in range(width):
                line[x] = ignore if best[x] <= high else label[x]
                line[x] = 0 if best[x] <= low else line[x]
            if y < y0 or y >= y1:
                line[:] = ignore
            line[: min(max(x0, 0), width)] = ignore
            line[min(max(x1, 0), width) :] = ignore


def label_best(
    scores: Tensor,
    table: Tensor,
    present: Tensor,
    low: float = -np.inf,
    high: float = -np.inf,
    ignore_index: int = 255,
    box: Tensor | None = None,
) -> Tensor:
    """Label of the best channel; the first wins a tie, and NaN is the largest value.

    Args:
        scores: ``(B, K, H, W)`` float32 or float64 on the CPU, K > 0.
        table: ``(B, K)`` int64, label of each channel.
        present: ``(B, K)`` bool, the channels that take part.
        low, high: The label is 0 where the best score is at most ``low``, else ``ignore_index``
            where it is at most ``high``.
        box: ``(B, 4)`` y0, y1, x0, x1; ``ignore_index`` outside.

    Returns:
        ``(B, H, W)`` int64.
    """
    pairs, size = scores.shape[:2], scores.shape[2:]
    out = torch.empty(len(scores), *size, dtype=torch.int64)
    box = torch.tensor([0, size[0], 0, size[1]]) if box is None else box.cpu().long()
    maps = np.ascontiguousarray(scores.detach().numpy())
    arrays = [x.contiguous().numpy() for x in (table.expand(pairs), present.expand(pairs))]
    low, high = (maps.dtype.type(value) for value in (low, high))
    box = box.expand(len(scores), 4).contiguous().numpy()
    _label_rows(maps, *arrays, low, high, ignore_index, box, out.numpy())
    return out
