"""Dense CRF on the scores and the label maps of a segmentor."""

from collections.abc import Mapping
from typing import Any

import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor

from mmwsss.ops.dense_crf import check_crf_arguments, dense_crf, refine_labels
from mmwsss.ops.pixels import CRF_IMAGES, crf_image
from mmwsss.utils.checks import check_choice, check_range


def refine_with_crf(
    inputs: Tensor,
    prob: Tensor,
    data_preprocessor: SegDataPreProcessor,
    image: str = 'true',
    **crf: Any,
) -> Tensor:
    """Posterior of the dense CRF for a batch.

    Args:
        inputs: Normalised images ``(B, 3, H, W)``; the CRF sees their order of channels.
        prob: Class probabilities ``(B, C, H, W)``.
        data_preprocessor: Knows how ``inputs`` were normalised.
        image: See :func:`mmwsss.ops.pixels.crf_image`.
        crf: ``preset`` and parameters of :class:`mmwsss.ops.dense_crf.DenseCRF`.

    Returns:
        ``(B, C, H, W)`` float32.
    """
    mean, std = data_preprocessor.mean, data_preprocessor.std
    return dense_crf(torch.stack([crf_image(x, mean, std, image) for x in inputs]), prob, **crf)


def refine_present(
    inputs: Tensor,
    prob: Tensor,
    data_preprocessor: SegDataPreProcessor,
    renormalise: bool = False,
    **crf: Any,
) -> Tensor:
    """:func:`refine_with_crf` among the classes that win somewhere in the image; others get 0.

    As WeakCLIP's scripts do, for its masks and, renormalised, for the network behind it.

    Args:
        inputs, prob, data_preprocessor, crf: See :func:`refine_with_crf`.
        renormalise: Let the probabilities of these classes sum to 1 before the CRF.

    Returns:
        ``(B, C, H, W)`` float32 in [0, 1].
    """
    out = torch.zeros_like(prob, dtype=torch.float32)
    for i, one in enumerate(prob):
        keys = present_classes(one)
        part = one[keys][None]
        part = part / part.sum(dim=1, keepdim=True) if renormalise else part
        out[i, keys] = refine_with_crf(inputs[i : i + 1], part, data_preprocessor, **crf)[0]
    return out


def present_classes(scores: Tensor) -> Tensor:
    """Classes of ``(K, H, W)`` that are somewhere the highest, ascending ``(k,)``."""
    return scores.max(dim=0).indices.unique()


def refine_labels_with_crf(
    inputs: Tensor,
    labels: Tensor,
    data_preprocessor: SegDataPreProcessor,
    image: str = 'true',
    gt_prob: float = 0.7,
    num_labels: int | None = None,
    **crf: Any,
) -> Tensor:
    """Label maps of a batch, refined as hard labels that are certain to ``gt_prob``.

    Args:
        inputs: Normalised images ``(B, 3, H, W)``; the CRF sees their order of channels.
        labels: ``(B, H, W)`` int64 in 0..255.
        data_preprocessor, image, crf: See :func:`refine_with_crf`.
        gt_prob, num_labels: See :func:`mmwsss.ops.dense_crf.refine_labels`.

    Returns:
        Like ``labels``.
    """
    mean, std = data_preprocessor.mean, data_preprocessor.std
    refined = [
        refine_labels(crf_image(x, mean, std, image), one, gt_prob, num_labels=num_labels, **crf)
        for x, one in zip(inputs, labels, strict=True)
    ]
    return torch.stack(refined)


def check_label_crf(name: str, crf: Mapping | None) -> None:
    """:func:`check_crf` for the arguments of :func:`refine_labels_with_crf`."""
    if not isinstance(crf, Mapping):
        return check_crf(name, crf)
    arguments = dict(crf)
    gt_prob = arguments.pop('gt_prob', None)
    check_range(f'{name}.gt_prob', gt_prob, 0, 1, open_low=True, open_high=True)
    check_range(f'{name}.num_labels', arguments.pop('num_labels', None), 1, 255, integer=True)
    return check_crf(name, arguments)


def check_crf(name: str, crf: Mapping | None) -> None:
    """Raise ValueError unless ``crf`` holds arguments of :func:`refine_with_crf`; None passes.

    Args:
        name: What the message calls it.
    """
    if crf is None:
        return
    if not isinstance(crf, Mapping):
        raise ValueError(f"{name} must be like dict(preset='deeplabv2'), or None, got {crf!r}")
    arguments = dict(crf)
    check_choice(f'{name}.image', arguments.pop('image', 'true'), CRF_IMAGES)
    try:
        check_crf_arguments(arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: {error}') from None
