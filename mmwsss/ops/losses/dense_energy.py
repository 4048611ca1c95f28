"""Dense energy: a fully connected CRF as a loss (Tang et al., arXiv 1803.09569)."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..dense_crf.lattice import PermutohedralLattice
from ..dense_crf.lattice_cpu import gaussian_filter
from ..pseudo_label import inside_box
from ..threads import on_one_thread, one_thread


@one_thread()
def _bilateral_features(images: Tensor, sigma_xy: float, sigma_rgb: float) -> Tensor:
    """``(B, 3, H, W)`` -> ``(B, H * W, 5)``: x, y, red, green, blue in standard deviations."""
    batch, _, height, width = images.shape
    y = torch.arange(height, dtype=torch.float32, device=images.device)
    x = torch.arange(width, dtype=torch.float32, device=images.device)
    position = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    position = (position / np.float32(sigma_xy)).expand(batch, -1, -1, -1)
    features = torch.cat([position, images.float() / np.float32(sigma_rgb)], dim=1)
    return features.flatten(2).transpose(1, 2).contiguous()


@torch.no_grad()
def bilateral_filter(images: Tensor, values: Tensor, sigma_xy: float, sigma_rgb: float) -> Tensor:
    """``sum_q exp(-|f_p - f_q|^2 / 2) v_q`` over all pixels q, p included, on the lattice.

    f is (x / sigma_xy, y / sigma_xy, rgb / sigma_rgb). The permutohedral lattice gives about 0.4
    to 0.7 of the exact sum; the weights that methods publish are meant for that.

    Args:
        images: ``(B, 3, H, W)``, values in [0, 255].
        values: ``(B, C, H, W)``.
        sigma_xy, sigma_rgb: Standard deviations in pixels and grey levels.

    Returns:
        ``(B, C, H, W)`` float32, without gradient.

    Raises:
        ValueError: The shapes differ, or a standard deviation is not positive or far too small.
    """
    if images.shape[0] != values.shape[0] or images.shape[-2:] != values.shape[-2:]:
        raise ValueError(f'images {tuple(images.shape)} do not fit values {tuple(values.shape)}')
    if min(sigma_xy, sigma_rgb) <= 0:
        raise ValueError(f'standard deviations must be > 0, not {sigma_xy} and {sigma_rgb}')
    features = _bilateral_features(images, sigma_xy, sigma_rgb)
    flat = values.float().flatten(2)
    if values.device.type == 'cpu':
        return _filter_on_cpu(features, flat).view_as(values)
    batch, count = features.shape[:2]
    group = torch.arange(batch, device=values.device).repeat_interleave(count)
    lattice = PermutohedralLattice(features.flatten(0, 1), group, normalise=False)
    filtered = lattice.filter(flat.transpose(1, 2).flatten(0, 1))
    return filtered.unflatten(0, (batch, count)).transpose(1, 2).reshape(values.shape)


def _filter_on_cpu(features: Tensor, values: Tensor) -> Tensor:
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        filtered = pool.map(gaussian_filter, features.numpy(), values.contiguous().numpy())
        return torch.from_numpy(np.stack(list(filtered)))


def dense_energy_loss(
    prob: Tensor,
    images: Tensor,
    label: Tensor,
    box: Tensor | None = None,
    weight: float = 1e-7,
    sigma_xy: float = 100.0,
    sigma_rgb: float = 15.0,
    scale_factor: float = 0.5,
    ignore_index: int = 255,
) -> Tensor:
    """Gated dense energy of a segmentation (AFA, arXiv 2203.02664, equation 8; ToCo, SeCo).

    ``-(weight / B) sum_p S_p . (K S)_p G_p`` with S the probabilities inside the box, K the
    :func:`bilateral_filter`, and the gate G_p = 1 on ignored pixels, ``1 - max_k prob_pk`` on
    others in the box, 0 elsewhere. All is computed on smaller maps: nearest for images, label and
    box, bilinear for the probabilities.

    As in the official code, the gradient to S is ``-2 weight / B (K S) G``: K and G are
    constants, and K counts as symmetric.

    Args:
        prob: ``(B, C, H, W)``, softmax over the classes.
        images: ``(B, 3, H, W)``, values in [0, 255].
        label: ``(B, H, W)`` integer; only which pixels are ignored matters.
        box: ``(B, 4)`` y0, y1, x0, x1 of the images within padded crops.
        weight: Factor.
        sigma_xy: Standard deviation in pixels of the full size.
        sigma_rgb: Standard deviation in grey levels.
        scale_factor: Size of the smaller maps.

    Returns:
        Scalar.

    Raises:
        ValueError: The sizes differ; see :func:`bilateral_filter`.
    """
    size = prob.shape[-2:]
    if images.shape[-2:] != size or label.shape[-2:] != size:
        raise ValueError(
            f'probabilities {tuple(prob.shape)}, images {tuple(images.shape)} and label '
            f'{tuple(label.shape)} must have one size'
        )
    inside = label.new_ones(label.shape, dtype=torch.bool)
    if box is not None:
        inside = inside_box(box.to(label.device), size)
    with one_thread():
        images = _nearest(images, scale_factor)
        unknown = _nearest((label == ignore_index)[:, None], scale_factor) > 0
        inside = _nearest(inside[:, None], scale_factor)
    segmentation = _smaller(prob, inside, scale_factor)
    filtered = bilateral_filter(images, segmentation, sigma_xy * scale_factor, sigma_rgb)
    energy = -weight / len(prob) * _gated_sum(segmentation, filtered, inside, unknown)
    return 2 * energy - energy.detach()  # the value of the energy, twice its gradient


def _nearest(maps: Tensor, factor: float) -> Tensor:
    return F.interpolate(maps.float(), scale_factor=factor, mode='nearest')


@on_one_thread
def _smaller(prob: Tensor, inside: Tensor, factor: float) -> Tensor:
    """Probabilities inside the box, at the smaller size."""
    prob = F.interpolate(prob.float(), scale_factor=factor, mode='bilinear', align_corners=False)
    return prob * inside


@on_one_thread
def _gated_sum(segmentation: Tensor, filtered: Tensor, inside: Tensor, unknown: Tensor) -> Tensor:
    """``sum_p S_p . (K S)_p G_p`` of :func:`dense_energy_loss`."""
    gate = (inside - segmentation.detach().amax(dim=1, keepdim=True)).clamp(min=0)
    return (segmentation * filtered * gate.masked_fill(unknown, 1)).sum()
