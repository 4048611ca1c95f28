"""Dense CRF on the scores of a segmentor."""

from collections.abc import Mapping

import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor

from mmwsss.ops.cam import upsample
from mmwsss.ops.crf_image import crf_image
from mmwsss.ops.dense_crf import dense_crf


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
        image: See :func:`mmwsss.ops.crf_image.crf_image`.
        crf: ``preset`` and parameters of :class:`mmwsss.ops.dense_crf.DenseCRF`.

    Returns:
        ``(B, C, H, W)`` float32.
    """
    mean, std = data_preprocessor.mean, data_preprocessor.std
    return dense_crf(torch.stack([crf_image(x, mean, std, image) for x in inputs]), prob, **crf)


def full_size_scores(
    logits: Tensor,
    inputs: Tensor,
    data_preprocessor: SegDataPreProcessor,
    crf: Mapping | None = None,
) -> Tensor:
    """Logits at the size of the images, or the posterior of the CRF.

    Args:
        logits: ``(B, C, h, w)`` of any size.
        inputs, data_preprocessor: See :func:`refine_with_crf`.
        crf: Arguments of :func:`refine_with_crf`, or None.

    Returns:
        ``(B, C, H, W)`` float32.
    """
    scores = upsample(logits.float(), inputs.shape[-2:])
    if not crf:
        return scores
    return refine_with_crf(inputs, scores.softmax(dim=1), data_preprocessor, **crf)
