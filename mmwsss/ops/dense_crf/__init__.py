"""Fully connected CRF (Kraehenbuehl and Koltun, arXiv 1210.5644)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..threads import one_thread
from .lattice import TorchMeanField
from .lattice_cpu import CPUMeanField

BACKENDS = ('auto', 'lattice', 'pydensecrf')


@dataclass(frozen=True)
class CRFParameters:
    """Parameters of a dense CRF.

    Attributes:
        iterations: Mean-field steps.
        gaussian_sxy, bilateral_sxy: Standard deviations in pixels.
        bilateral_srgb: Standard deviation in grey levels.
        gaussian_compat, bilateral_compat: Weights of the two Potts terms.
    """

    iterations: int
    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float

    def __post_init__(self) -> None:
        deviations = self.gaussian_sxy, self.bilateral_sxy, self.bilateral_srgb
        weights = self.gaussian_compat, self.bilateral_compat
        if not all(0 < value < math.inf for value in deviations):
            raise ValueError(f'standard deviations must be > 0 and finite: {self}')
        if not all(0 <= value < math.inf for value in weights):
            raise ValueError(f'weights must be >= 0 and finite: {self}')
        if not 0 <= self.iterations < math.inf or self.iterations != int(self.iterations):
            raise ValueError(f'iterations must be a whole number >= 0: {self}')


# The sets of the official codes.
PRESETS = {
    'afa': CRFParameters(10, 3, 3, 64, 5, 4),  # tests of AFA and WeCLIP
    'psa': CRFParameters(10, 3, 3, 80, 13, 10),  # PSA, SEAM, MCTformer's affinity, 1-Stage
    'irn': CRFParameters(10, 3, 3, 50, 5, 10),  # hard labels of IRN, AFA, DuPL
    'deeplabv1': CRFParameters(1, 3, 3, 32, 13, 10),  # DeepLabV1-ResNet38 of SEAM
    'deeplabv2': CRFParameters(10, 1, 3, 67, 3, 4),  # deeplab-pytorch, CLIP-ES, ExCEL, WSSS-BED
    'mctformer': CRFParameters(10, 4, 3, 83, 5, 3),  # MCTformer's segmentation
    'weakclip': CRFParameters(10, 3, 3, 83, 5, 3),
    'weakclip_seg': CRFParameters(10, 1, 3, 112, 2, 3),  # test of WeakCLIP's retraining on VOC
    'l2g': CRFParameters(10, 3, 3, 121, 5, 4),
    'toco': CRFParameters(10, 1, 1, 121, 5, 4),  # tests of ToCo and DuPL
    'toco_cam': CRFParameters(10, 3, 3, 36, 3, 4),
    'pmm': CRFParameters(10, 3, 10, 80, 13, 10),
    'avc': CRFParameters(3, 3, 7, 60, 3, 8),  # tests of AVC's DeepLabV1-ResNet38
}


def crf_parameters(
    preset: str = 'afa', scale_factor: float = 1.0, **overrides: float
) -> CRFParameters:
    """A preset with some values replaced.

    Args:
        preset: Name in :data:`PRESETS`.
        scale_factor: Divides both ``sxy``, for images that were scaled down by it.
        overrides: Fields of :class:`CRFParameters`.

    Raises:
        ValueError: No such preset or parameter, or values out of range.
    """
    if preset not in PRESETS:
        raise ValueError(f'there is no CRF preset {preset!r}; presets are {", ".join(PRESETS)}')
    names = CRFParameters.__dataclass_fields__
    unknown = [name for name in overrides if name not in names]
    if unknown:
        raise ValueError(f'the CRF has no parameter {unknown[0]!r}; it has {", ".join(names)}')
    parameters = replace(PRESETS[preset], **overrides)
    if not 0 < scale_factor < math.inf:
        raise ValueError(f'scale_factor must be > 0, not {scale_factor}')
    return replace(
        parameters,
        gaussian_sxy=parameters.gaussian_sxy / scale_factor,
        bilateral_sxy=parameters.bilateral_sxy / scale_factor,
    )


def check_crf_arguments(crf: Mapping[str, Any]) -> None:
    """Raise ValueError unless ``crf`` holds arguments of :class:`DenseCRF` beside the image."""
    arguments = dict(crf)
    _check_backend(arguments.pop('backend', 'auto'))
    crf_parameters(**arguments)


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        raise ValueError(f'backend must be one of {", ".join(BACKENDS)}, not {name!r}')


@one_thread()
def unary_from_scores(scores: Tensor, clip: float = 1e-5) -> Tensor:
    """Unary energies ``-log(clip(score, clip, 1))``; scores of a pixel need not sum to 1.

    Args:
        scores: Probabilities, or background and activation maps, ``(..., C, H, W)`` in [0, 1].
    """
    return -scores.float().clamp(clip, 1).log()


@one_thread()
def unary_from_labels(
    labels: Tensor, num_labels: int, gt_prob: float = 0.7, ignore_index: int | None = None
) -> Tensor:
    """Unary energies of hard labels: ``-log(g)`` for the label, ``-log((1-g)/(n-1))`` else.

    Args:
        labels: ``(..., H, W)`` integers in 0..num_labels-1.
        num_labels: n.
        gt_prob: Certainty g in (0, 1) of the labels.
        ignore_index: Label of pixels about which nothing is known: all labels are equal there.

    Returns:
        ``(..., n, H, W)`` float32.

    Raises:
        ValueError: Labels out of range, or a certainty outside (0, 1).
    """
    known = torch.ones_like(labels, dtype=torch.bool)
    if ignore_index is not None:
        known = labels != ignore_index
    found = labels[known]
    if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < num_labels:
        raise ValueError(
            f'labels range from {int(found.min())} to {int(found.max())}, outside '
            f'0..{num_labels - 1}'
        )
    keys = torch.arange(num_labels, device=labels.device)
    return _unary_of_keys(labels, known, keys, num_labels, gt_prob)


def _unary_of_keys(
    labels: Tensor, known: Tensor, keys: Tensor, num_labels: int, gt_prob: float
) -> Tensor:
    """Energies ``(..., K, H, W)`` of K of the ``num_labels`` labels."""
    if not 0 < gt_prob < 1:
        raise ValueError(f'gt_prob must be between 0 and 1, not {gt_prob}')
    mine = labels.unsqueeze(-3) == keys[:, None, None]
    other = -np.log((1 - gt_prob) / max(num_labels - 1, 1))
    unary = torch.where(mine, -np.log(gt_prob), other).float()
    return unary.masked_fill(~known.unsqueeze(-3), np.log(num_labels))


class DenseCRF:
    """Dense CRF of one image or of images of one size; its lattices serve any number of unaries.

    ``E = sum_i U_i + sum_{i<j} [l_i != l_j] k_ij`` with a Gaussian and a bilateral kernel k,
    filtered on the permutohedral lattice and normalised symmetrically; mean-field inference as in
    the authors' code, to which the result is equal up to rounding.

    Args:
        images: ``(H, W, 3)`` or ``(B, H, W, 3)`` uint8 RGB on any device. (Another order of
            channels changes the lattice's approximation by some 1e-3.)
        preset: Name in :data:`PRESETS`.
        backend: ``'lattice'`` is ours (numba on the CPU, tensor operations elsewhere),
            ``'pydensecrf'`` the wrapper of the authors' code, if it is installed. ``'auto'``
            takes ours, which is the faster one (``benchmarks/dense_crf.py``).
        parameters: ``scale_factor`` and fields of :class:`CRFParameters` that replace the preset's.

    Raises:
        ValueError: The images are not uint8 or no images; parameters out of range.
        ImportError: pydensecrf is asked for and missing.
    """

    def __init__(
        self, images: Tensor, preset: str = 'afa', backend: str = 'auto', **parameters
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
            raise ValueError(
                'the dense CRF needs uint8 images (H, W, 3) or (B, H, W, 3), got '
                f'{images.dtype} {tuple(images.shape)}'
            )
        if images.numel() == 0:
            raise ValueError(f'the image is empty: {tuple(images.shape)}')
        _check_backend(backend)
        self.parameters = crf_parameters(preset, **parameters)
        self.shape = images.shape[:-1]
        images = images.reshape(-1, *images.shape[-3:])
        p = self.parameters
        terms = (
            (p.gaussian_sxy, p.gaussian_compat),
            (p.bilateral_sxy, p.bilateral_srgb, p.bilateral_compat),
        )
        if backend == 'pydensecrf':
            self._engine = _PyDenseCRF(images, *terms)
        elif images.device.type == 'cpu':
            self._engine = _CPULattices(images, *terms)
        else:
            self._engine = TorchMeanField(images, *terms)

    @one_thread()
    def __call__(
        self, unary: Tensor, iterations: int | None = None, copies: Sequence[int] | None = None
    ) -> Tensor:
        """Posterior of the labels.

        Args:
            unary: Energies ``(C, H, W)`` or ``(B, C, H, W)``, like the images, on any device. For
                one image also several, each a problem by itself, ``(K, C, H, W)``; with up to four
                channels two of them take hardly longer than one.
            iterations: Mean-field steps instead of those of the parameters.
            copies: How many labels each channel stands for, ``(C,)``; None: one. Labels of equal
                energies stay equal, so that one channel is enough for all of them.

        Returns:
            Same shape, float32, on the device of ``unary``: the posterior of one label, so that
            the channels of a pixel, times their copies, sum to 1.

        Raises:
            ValueError: The sizes differ, there is no label, energies are not finite, or copies
                are not one positive number per channel.
        """
        several = len(self.shape) == 2 and unary.ndim == 4
        size = unary.shape[:-3] + unary.shape[-2:]
        if unary.ndim < 3 or size[several:] != self.shape or unary.numel() == 0:
            raise ValueError(
                f'unary of shape {tuple(unary.shape)} does not fit images of {tuple(self.shape)}'
            )
        if not unary.isfinite().all():
            raise ValueError('the unary energies hold NaN or infinite values')
        if iterations is None:
            iterations = self.parameters.iterations
        channels = unary.shape[-3]
        copies = torch.tensor([1] * channels if copies is None else list(copies))
        if len(copies) != channels or copies.is_floating_point() or int(copies.min()) < 1:
            raise ValueError(
                f'copies must be {channels} whole numbers >= 1, one per label of the unary, got '
                f'{copies.tolist()}'
            )
        flat = unary.detach().float().flatten(-2)
        flat = flat[None] if several else flat.reshape(-1, 1, *flat.shape[-2:])
        return self._engine.infer(flat, iterations, copies).reshape(unary.shape).to(unary.device)

    @one_thread()
    def binary(self, scores: Tensor) -> Tensor:
        """Several problems of two labels on one image, each by itself, at the cost of one.

        Args:
            scores: Background and foreground ``(K, 2, H, W)`` in [0, 1]; they need not sum to 1.

        Returns:
            Posterior of the foreground ``(K, H, W)`` float32.

        Raises:
            ValueError: The scores do not fit the image, or there are several images.
        """
        if scores.ndim != 4 or scores.shape[1] != 2 or scores.shape[2:] != self.shape:
            raise ValueError(
                f'scores of shape {tuple(scores.shape)} do not fit one image of '
                f'{tuple(self.shape)}: they must be (K, 2, H, W)'
            )
        if len(scores) == 0:
            return scores.new_zeros(0, *self.shape, dtype=torch.float32)
        unary = unary_from_scores(scores)
        if not unary.isfinite().all():
            raise ValueError('the scores hold NaN')
        difference = (unary[:, 1] - unary[:, 0]).flatten(1)
        state = self._engine.infer_pairs(difference, self.parameters.iterations)
        return ((1 + state) / 2).view(-1, *self.shape).to(scores.device)

    def refine_labels(
        self,
        labels: Tensor,
        gt_prob: float = 0.7,
        ignore_index: int = 255,
        num_labels: int | None = None,
    ) -> Tensor:
        """Most probable labels of one image for hard labels that are certain to ``gt_prob``.

        Args:
            labels: ``(H, W)`` integers, or several such maps ``(K, H, W)``, each refined by itself;
                ``ignore_index`` marks unknown pixels, which get a label.
            gt_prob: Certainty in (0, 1).
            ignore_index: See above.
            num_labels: Labels of the CRF, also those that do not occur, among which the
                uncertainty is shared out (21 in TransCAM); None: those that occur in any of the
                maps, and 0 (IRN).

        Returns:
            Like ``labels``.

        Raises:
            ValueError: Labels that are no smaller than ``num_labels``, or of another size.
        """
        known = labels != ignore_index
        present = torch.cat([labels[known], labels.new_zeros(1)]).unique()
        if num_labels is None:
            num_labels = len(present)
        elif int(present[-1]) >= num_labels:
            raise ValueError(f'label {int(present[-1])} is outside 0..{num_labels - 1}')
        keys, copies = _with_absent(present, num_labels)
        unary = _unary_of_keys(labels, known, keys, num_labels, gt_prob)
        return keys[self(unary, copies=copies).max(dim=-3).indices]


def dense_crf(images: Tensor, scores: Tensor, **parameters: Any) -> Tensor:
    """Posterior for class probabilities or scores: :class:`DenseCRF` used once.

    Args:
        images: ``(H, W, 3)`` or ``(B, H, W, 3)`` uint8.
        scores: ``(C, H, W)`` or ``(B, C, H, W)`` in [0, 1].
        parameters: See :class:`DenseCRF`.

    Returns:
        Like ``scores``, float32.
    """
    return DenseCRF(images, **parameters)(unary_from_scores(scores))


def refine_labels(
    image: Tensor,
    labels: Tensor,
    gt_prob: float = 0.7,
    ignore_index: int = 255,
    num_labels: int | None = None,
    **parameters: Any,
) -> Tensor:
    """:meth:`DenseCRF.refine_labels`, used once.

    Args:
        image: ``(H, W, 3)`` uint8.
        labels, gt_prob, ignore_index, num_labels: See :meth:`DenseCRF.refine_labels`.
        parameters: See :class:`DenseCRF`.

    Returns:
        Like ``labels``.
    """
    crf = DenseCRF(image, **parameters)
    return crf.refine_labels(labels, gt_prob, ignore_index, num_labels)


def _with_absent(present: Tensor, num_labels: int) -> tuple[Tensor, list[int]]:
    """Ascending labels, the first absent one for all of them, and how many each stands for."""
    if len(present) == num_labels:
        return present, [1] * num_labels
    absent = sorted(set(range(num_labels)) - set(present.tolist()))
    keys = torch.cat([present, present.new_tensor(absent[:1])]).sort().values
    return keys, [len(absent) if key == absent[0] else 1 for key in keys.tolist()]


class _CPULattices:
    """A pair of lattices for every image; threads share the images.

    They do not share an image: bound by memory, a second one gains little, and they would wait for
    each other at every step.
    """

    def __init__(self, images: Tensor, *terms: tuple) -> None:
        self.threads = min(torch.get_num_threads(), len(images))
        images = images.contiguous().numpy()
        self.fields = self._map(lambda image: CPUMeanField(image, *terms), images)

    def infer(self, unary: Tensor, iterations: int, copies: Tensor) -> Tensor:
        unary, copies = np.ascontiguousarray(unary.cpu().numpy()), copies.numpy()
        posterior = self._map(lambda f, u: f.infer(u, iterations, copies), self.fields, unary)
        return torch.from_numpy(np.stack(posterior))

    def infer_pairs(self, difference: Tensor, iterations: int) -> Tensor:
        values = np.ascontiguousarray(difference.cpu().numpy())
        return torch.from_numpy(self.fields[0].infer_pairs(values, iterations))

    def _map(self, function: Callable, *items: Sequence) -> list:
        if self.threads == 1:
            return list(map(function, *items))
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(function, *items))


class _PyDenseCRF:
    """The same by pydensecrf, which keeps nothing between two unaries."""

    def __init__(self, images: Tensor, gaussian: tuple, bilateral: tuple) -> None:
        try:
            from pydensecrf import densecrf
        except ImportError as error:
            raise ImportError(
                "backend='pydensecrf' needs it: pip install pydensecrf2 (and a C++ compiler), or "
                "use backend='lattice', which needs neither"
            ) from error
        self.library = densecrf
        self.images = images.cpu().numpy()
        self.gaussian, self.bilateral = gaussian, bilateral

    def infer(self, unary: Tensor, iterations: int, copies: Tensor) -> Tensor:
        unary = unary.cpu().repeat_interleave(copies, dim=2).numpy()  # every copy is a label here
        posterior = [
            [self._one(image, problem, iterations) for problem in problems]
            for image, problems in zip(self.images, unary, strict=True)
        ]
        return torch.from_numpy(np.array(posterior))[:, :, copies.cumsum(0) - 1]

    def infer_pairs(self, difference: Tensor, iterations: int) -> Tensor:
        unary = torch.stack([torch.zeros_like(difference), difference], dim=1).cpu()
        found = [self._one(self.images[0], one.numpy(), iterations) for one in unary]
        return torch.from_numpy(np.stack(found)).diff(dim=1)[:, 0]

    def _one(self, image: np.ndarray, unary: np.ndarray, iterations: int) -> np.ndarray:
        height, width = image.shape[:2]
        crf = self.library.DenseCRF2D(width, height, len(unary))
        crf.setUnaryEnergy(np.ascontiguousarray(unary))
        sxy, compat = self.gaussian
        crf.addPairwiseGaussian(sxy=sxy, compat=compat)
        sxy, srgb, compat = self.bilateral
        crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.array(image), compat=compat)
        return np.array(crf.inference(iterations), dtype=np.float32)
