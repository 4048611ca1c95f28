"""Pseudo labels from two background scores (AFA, arXiv 2203.02664, section 3.3).

With a constant background score every pixel has a class. A high score asks much of the foreground,
a low one of the background; refined by the colours of the image, the two label maps are merged and
where they disagree the pixel is ignored. ToCo, DuPL and SeCo make their labels in the same way.

Scores of several thresholds lie one behind the other in the channels, so that the refinement, whose
weights depend on the image alone, is one call: ``(B, T * (1 + K), H, W)``, background first in each
part. Channel k of a part belongs to class ``classes[:, k - 1]``, -1 for none.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resize import upsample
from ..threads import one_thread
from . import confident_label, decide, inside_box

Refine = Callable[[Tensor, Tensor], Tensor]


@one_thread()
def background_softmax(cams: Tensor, classes: Tensor, backgrounds: Sequence[float]) -> Tensor:
    """Softmax over a constant background and the present classes, for each background score.

    Args:
        cams: ``(B, K, h, w)`` in [0, 1].
        classes: ``(B, K)``, -1 for channels that hold no class; they get 0.
        backgrounds: T scores; (high, low) for :func:`two_threshold_label`, 0.55 and 0.35 in AFA.

    Returns:
        ``(B, T * (1 + K), h, w)``.
    """
    present = cams.masked_fill((classes < 0)[:, :, None, None], -torch.inf)
    scores = [F.pad(present, (0, 0, 0, 0, 1, 0), value=value) for value in backgrounds]
    return torch.cat([s.softmax(dim=1) for s in scores], dim=1)


def refine_at_half(refine: Refine, image: Tensor, scores: Tensor) -> Tensor:
    """Refine scores with the image at half its size, for speed.

    Args:
        refine: ``(image, scores) -> scores`` of the image's size, such as
            :class:`mmwsss.models.refiners.PAR` with ``resize='masks'``.
        image: ``(B, 3, H, W)``.
        scores: ``(B, M, h, w)`` of any size.

    Returns:
        ``(B, M, H, W)``.
    """
    size = image.shape[-2:]
    with one_thread():
        small = upsample(image, [max(side // 2, 1) for side in size])
    refined = refine(small, scores)
    with one_thread():
        return upsample(refined, size)


def refine_in_box(refine: Refine, image: Tensor, scores: Tensor, box: Tensor) -> Tensor:
    """:func:`refine_at_half` that sees the image inside its padded crop only.

    Images whose boxes have the same size are refined together.

    Args:
        refine: See :func:`refine_at_half`.
        image: ``(B, 3, H, W)``.
        scores: ``(B, M, H, W)``.
        box: ``(B, 4)`` y0, y1, x0, x1 of the images; may exceed the crop.

    Returns:
        ``(B, M, H, W)``, zero outside the boxes.
    """
    height, width = image.shape[-2:]
    limit = box.new_tensor((height, height, width, width))
    groups: dict[tuple[int, int], list[tuple[int, slice, slice]]] = {}
    for i, (y0, y1, x0, x1) in enumerate(box.clamp(min=0).minimum(limit).tolist()):
        groups.setdefault((y1 - y0, x1 - x0), []).append((i, slice(y0, y1), slice(x0, x1)))
    refined = torch.zeros_like(scores)
    for size, places in groups.items():
        if 0 in size:
            continue
        crops = [torch.stack([maps[i, :, y, x] for i, y, x in places]) for maps in (image, scores)]
        for (i, y, x), result in zip(places, refine_at_half(refine, *crops), strict=True):
            refined[i, :, y, x] = result
    return refined


@one_thread()
def two_threshold_label(scores: Tensor, classes: Tensor, box: Tensor | None = None) -> Tensor:
    """Label map of the pixels on which a high and a low background score agree.

    Foreground with the high score: its class; background with both: 0; else ignored (255).

    Args:
        scores: ``(B, 2 * (1 + K), H, W)``: those of the high background score, then of the low.
        classes: ``(B, K)`` 0-based foreground class of each channel, -1 for none.
        box: ``(B, 4)`` y0, y1, x0, x1 of the image within a padded crop; ignored outside.

    Returns:
        ``(B, H, W)`` int64.
    """
    high, low = (decide(part, classes) for part in scores.chunk(2, dim=1))
    label = confident_label(high, low)
    if box is None:
        return label
    return label.masked_fill(~inside_box(box.to(label.device), label.shape[-2:]), 255)
