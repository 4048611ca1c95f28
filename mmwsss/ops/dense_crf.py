"""Fully connected CRF (Kraehenbuehl and Koltun, arXiv 1210.5644)."""

import numpy as np
import torch
from torch import Tensor


def dense_crf(
    image: Tensor,
    prob: Tensor,
    iterations: int = 10,
    gaussian_sxy: float = 3,
    gaussian_compat: float = 3,
    bilateral_sxy: float = 64,
    bilateral_srgb: float = 5,
    bilateral_compat: float = 4,
) -> Tensor:
    """Mean-field inference with a Gaussian and a bilateral Potts term.

    The defaults are those of WeCLIP's and AFA's evaluation.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        prob: Class probabilities ``(C, H, W)``.
        iterations: Mean-field steps.
        gaussian_sxy, bilateral_sxy: Standard deviations in pixels.
        bilateral_srgb: Standard deviation in grey levels.
        gaussian_compat, bilateral_compat: Weights of the terms.

    Returns:
        Posterior ``(C, H, W)`` float32 on ``prob``'s device.

    Raises:
        ImportError: If pydensecrf is missing.
        ValueError: If the sizes differ or the image is not uint8.
    """
    if image.dtype != torch.uint8 or image.shape[:2] != prob.shape[1:]:
        raise ValueError(
            f'need a uint8 image of the size of the probabilities, got {image.dtype} '
            f'{tuple(image.shape)} and {tuple(prob.shape)}'
        )
    try:
        from pydensecrf.densecrf import DenseCRF2D
        from pydensecrf.utils import unary_from_softmax
    except ImportError as error:
        raise ImportError('the dense CRF needs pydensecrf: pip install pydensecrf2') from error
    num_classes, h, w = prob.shape
    crf = DenseCRF2D(w, h, num_classes)
    crf.setUnaryEnergy(
        unary_from_softmax(np.ascontiguousarray(prob.detach().float().cpu().numpy()))
    )
    crf.addPairwiseGaussian(sxy=gaussian_sxy, compat=gaussian_compat)
    crf.addPairwiseBilateral(
        sxy=bilateral_sxy,
        srgb=bilateral_srgb,
        rgbim=np.ascontiguousarray(image.cpu().numpy()),
        compat=bilateral_compat,
    )
    posterior = np.array(crf.inference(iterations), dtype=np.float32)
    return torch.from_numpy(posterior).reshape(num_classes, h, w).to(prob.device)
