"""Dense CRF on the scores of a segmentor."""

from collections.abc import Mapping

import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor

from mmwsss.ops.dense_crf import BACKENDS, crf_parameters, dense_crf
from mmwsss.ops.pixels import CRF_IMAGES, crf_image
from mmwsss.utils.checks import check_choice


def refine_with_crf(
    inputs: Tensor,
    prob: Tensor,
    data_preprocessor: SegDataPreProcessor,
    image: str = 'true',
    **crf,
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
    check_choice(f'{name}.backend', arguments.pop('backend', 'auto'), BACKENDS)
    try:
        crf_parameters(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: {error}') from None
