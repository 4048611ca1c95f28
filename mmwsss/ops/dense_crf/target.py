"""Posterior of a dense CRF on the small grid of a loss (SEC, DSRG, WeakCLIP)."""

import numpy as np
import torch
from scipy.ndimage import zoom
from torch import Tensor

from . import dense_crf


def grid_images(inputs: Tensor, mean: Tensor, std: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels of normalised images on a small grid.

    Bilinear between the corners, at the positions and in the order of roundings of SciPy's
    ``zoom``, cut to integers: a value that falls on the other side of the cut changes the
    posterior of its pixel altogether.

    Args:
        inputs: ``(B, 3, H, W)`` float32.
        mean, std: Three values each, of pixel values in 0..255.
        size: Grid (h, w).

    Returns:
        ``(B, h, w, 3)`` uint8 on the CPU.
    """
    factors = (1.0, 1.0, *(new / old for new, old in zip(size, inputs.shape[2:], strict=True)))
    small = zoom(inputs.detach().float().cpu().numpy(), factors, order=1).transpose(0, 2, 3, 1)
    mean, std = (np.asarray(value.cpu(), np.float32).reshape(3) for value in (mean, std))
    return torch.from_numpy(np.ascontiguousarray(small * std + mean, dtype=np.uint8))


@torch.no_grad()
def crf_target(prob: Tensor, images: Tensor, floor: float = 1e-4, preset: str = 'psa') -> Tensor:
    """Posterior of the CRF, floored, as a target.

    Args:
        prob: ``(B, C, h, w)``; not renormalised behind the floor.
        images: ``(B, h, w, 3)`` uint8.
        floor: Of the probabilities before and behind the CRF.
        preset: See :func:`mmwsss.ops.dense_crf.dense_crf`.

    Returns:
        ``(B, C, h, w)`` float32 that sum to 1 over the classes, on the device of ``prob``.
    """
    posterior = dense_crf(images, prob.detach().float().cpu().clamp(min=floor), preset=preset)
    posterior = posterior.double().clamp(min=floor)
    return (posterior / posterior.sum(dim=1, keepdim=True)).float().to(prob.device)
