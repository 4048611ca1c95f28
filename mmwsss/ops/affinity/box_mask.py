"""Boxes around the connected parts of a thresholded score map (CLIP-ES, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..threads import one_thread


def connected_components(binary: Tensor) -> Tensor:
    """Label 8-connected components of many small maps at once.

    Every foreground pixel takes the largest pixel number in reach, by 3x3 max pooling inside
    the map until nothing changes; the number of rounds is the longest path of a component.

    Args:
        binary: ``(P, h, w)`` bool.

    Returns:
        ``(P, h, w)`` int64: 0 outside, else an id in 1..h*w shared by the component.
    """
    h, w = binary.shape[-2:]
    numbers = torch.arange(1, h * w + 1, device=binary.device, dtype=torch.float32)
    inside = binary.float()
    ids = numbers.reshape(1, h, w) * inside
    while True:
        grown = F.max_pool2d(ids[:, None], 3, stride=1, padding=1)[:, 0] * inside
        if torch.equal(grown, ids):
            return ids.long()
        ids = grown


@one_thread()
def box_mask(cam: Tensor, threshold: float) -> Tensor:
    """Union of the bounding boxes of a cam's strong components.

    A cam is quantised to grey levels 0..255; pixels above ``int(threshold * maximum)`` form
    8-connected components. A box covers rows [y0, min(y1, h - 1)) and columns
    [x0, min(x1, w - 1)) with exclusive ends y1, x1: as in the official procedure the last row
    and the last column are never inside.

    Args:
        cam: ``(P, h, w)`` in [0, 1].
        threshold: Share of the maximum, 0.4 (VOC) or 0.7 (COCO).

    Returns:
        ``(P, h, w)`` bool.
    """
    num, h, w = cam.shape
    if num == 0:
        return torch.zeros_like(cam, dtype=torch.bool)
    grey = (cam * 255).floor()
    binary = grey > (threshold * grey.amax(dim=(1, 2), keepdim=True).double()).floor()
    ids = connected_components(binary).flatten(1)
    rows = torch.arange(h, device=cam.device).repeat_interleave(w).expand(num, -1)
    cols = torch.arange(w, device=cam.device).repeat(h).expand(num, -1)

    def extreme(values: Tensor, reduce: str, initial: int) -> Tensor:
        start = values.new_full((num, h * w + 1), initial)
        return start.scatter_reduce(1, ids, values, reduce)

    y0, x0 = extreme(rows, 'amin', h), extreme(cols, 'amin', w)
    y1 = (extreme(rows, 'amax', -1) + 1).clamp(max=h - 1)
    x1 = (extreme(cols, 'amax', -1) + 1).clamp(max=w - 1)
    filled = (y0 < y1) & (x0 < x1)
    filled[:, 0] = False  # id 0 is outside
    # corners of a summed-area table: +1 -1 / -1 +1, then two cumulative sums
    table = torch.zeros(num, h * w, device=cam.device)
    for y, x, sign in ((y0, x0, 1), (y0, x1, -1), (y1, x0, -1), (y1, x1, 1)):
        corner = torch.where(filled, y * w + x, 0)
        table.scatter_add_(1, corner, sign * filled.float())
    return table.reshape(num, h, w).cumsum(1).cumsum(2) > 0.5
