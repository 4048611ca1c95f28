"""SEAM: refining class maps by pixel correlation, and the losses of two views of an image.

*Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation*, Wang
et al., CVPR 2020, arXiv 2004.04581, as PMM trains it (Eli-YiLi/PMM, ``network/*_SEAM.py`` and
``pipeline/train_cam.py``). Channel 0 of every map is the background.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_EPS = 1e-5


def background_and_winner(cam: Tensor) -> Tensor:
    """Maps that are passed on to the pixels of equal features (``PCM``, before the product).

    Every foreground map is divided by its maximum; the background is 1 minus the largest of them,
    and of the foreground only the largest of a pixel stays.

    Args:
        cam: ``(B, 1 + C, h, w)`` of either sign; what channel 0 holds is not used.

    Returns:
        Like ``cam``, in [0, 1].
    """
    relu = cam.relu()
    scaled = (relu - _EPS).relu() / (relu.amax(dim=(-2, -1), keepdim=True) + _EPS)
    foreground = scaled[:, 1:]
    best = foreground.amax(dim=1, keepdim=True)
    return torch.cat([1 - best, foreground.masked_fill(foreground < best, 0)], dim=1)


def pixel_correlation(maps: Tensor, features: Tensor) -> Tensor:
    """Maps averaged over all pixels, by the cosine of their features (PCM).

    With f the features of a pixel, divided by their norm, ``A = relu(f_i . f_j)`` is scaled so
    that its columns sum to 1; the result is ``maps @ A``.

    Args:
        maps: ``(B, C, h, w)``.
        features: ``(B, D, h, w)``.

    Returns:
        Like ``maps``.
    """
    f = features.flatten(2)
    f = f / (f.norm(dim=1, keepdim=True) + _EPS)
    affinity = (f.mT @ f).relu()
    affinity = affinity / (affinity.sum(dim=1, keepdim=True) + _EPS)
    return (maps.flatten(2) @ affinity).view_as(maps)


def scaled_maps(cam: Tensor) -> Tensor:
    """Scale every map to [0, 1] by its extremes, through which gradients flow (``max_norm``).

    Args:
        cam: ``(..., h, w)`` of either sign.
    """
    cam = cam.relu()
    low, high = cam.amin(dim=(-2, -1), keepdim=True), cam.amax(dim=(-2, -1), keepdim=True)
    return (cam - low - _EPS).relu() / (high - low + _EPS)


def min_pooling_loss(maps: Tensor) -> Tensor:
    """Mean of the quarter of pixels at which no class is active (``adaptive_min_pooling_loss``).

    Args:
        maps: Foreground maps ``(B, C, h, w)``, zero for absent classes.

    Returns:
        Scalar: with it, some pixels stay background.
    """
    best = maps.amax(dim=1).flatten(1)
    count = max(1, best.shape[1] // 4)
    return best.topk(count, dim=1, largest=False).values.relu().mean()


def seam_losses(
    cam1: Tensor,
    refined1: Tensor,
    cam2: Tensor,
    refined2: Tensor,
    image_labels: Tensor,
    keep: float = 0.2,
) -> dict[str, Tensor]:
    """Losses of an image and its small copy.

    With y the image labels, N :func:`scaled_maps`, D the bilinear reduction
    (``align_corners=True``) of view 1 to the size of view 2, and ``a_i = y N(cam_i)``,
    ``r_i = y N(refined_i)``:

    - ``cls_i``: multi-label soft margin of the mean of ``cam_i``; ``rvmin_i``:
      :func:`min_pooling_loss` of ``y refined_i``; ``loss_cls``: their sum, the
      mean over both views.
    - ``loss_er``: mean of ``|D a_1 - a_2|`` over the foreground.
    - ``loss_ecr``: with the background of ``a_i`` set to 1 minus the largest foreground, the means
      of the largest ``keep`` of ``|hard(a_2) - D r_1|`` and ``|hard(D a_1) - r_2|``, where hard
      keeps the largest foreground of a pixel, without a gradient.

    Args:
        cam1, refined1: Maps of the image ``(B, 1 + C, H, W)``.
        cam2, refined2: Those of its copy ``(B, 1 + C, h, w)``, ``h <= H``.
        image_labels: Multi-hot ``(B, C)``.
        keep: Share of the entries of an image that ``loss_ecr`` sees.

    Returns:
        ``loss_cls``, ``loss_er``, ``loss_ecr`` and their parts ``cls1``, ``cls2``, ``rvmin1``,
        ``rvmin2``, ``ecr1``, ``ecr2``; scalars.
    """
    labels = image_labels.to(cam1)
    given = F.pad(labels, (1, 0), value=1.0)[:, :, None, None]
    parts = {}
    for i, (cam, refined) in enumerate(((cam1, refined1), (cam2, refined2)), start=1):
        logits = cam[:, 1:].mean(dim=(-2, -1))
        parts[f'cls{i}'] = F.multilabel_soft_margin_loss(logits, labels)
        parts[f'rvmin{i}'] = min_pooling_loss((refined * given)[:, 1:])

    def reduced(maps: Tensor) -> Tensor:
        size = cam2.shape[-2:]
        return F.interpolate(scaled_maps(maps), size, mode='bilinear', align_corners=True) * given

    a1, r1, a2, r2 = reduced(cam1), reduced(refined1), scaled_maps(cam2), scaled_maps(refined2)
    a2, r2 = a2 * given, r2 * given
    loss_er = (a1[:, 1:] - a2[:, 1:]).abs().mean()
    for i, (target, maps) in enumerate(((a2, r1), (a1, r2)), start=1):
        difference = (_hard(target.detach()) - maps).abs().flatten(1)
        count = max(1, int(difference.shape[1] * keep))
        parts[f'ecr{i}'] = difference.topk(count, dim=1).values.mean()
    return dict(
        loss_cls=(parts['cls1'] + parts['cls2']) / 2 + (parts['rvmin1'] + parts['rvmin2']) / 2,
        loss_er=loss_er,
        loss_ecr=parts['ecr1'] + parts['ecr2'],
        **parts,
    )


def _hard(maps: Tensor) -> Tensor:
    """Background 1 minus the largest foreground, and of the foreground the largest alone."""
    foreground = maps[:, 1:]
    best = foreground.amax(dim=1, keepdim=True)
    return torch.cat([1 - best, foreground.masked_fill(foreground != best, 0)], dim=1)
