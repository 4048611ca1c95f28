"""Elementary operations on class activation maps."""

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from ..resize import upsample
from ..threads import one_thread


@one_thread()
def minmax_normalize(cam: Tensor, eps: float = 1e-7) -> Tensor:
    """Scale every map to [0, 1].

    ``(cam - min) / (eps + max(cam - min))`` over the last two dimensions, so a constant map
    becomes zero (CLIP-ES; Grad-CAM's usual scaling).

    Args:
        cam: ``(..., h, w)``.

    Returns:
        Same shape, in [0, 1].
    """
    cam = cam - cam.amin(dim=(-2, -1), keepdim=True)
    return cam / (eps + cam.amax(dim=(-2, -1), keepdim=True))


def merge_cams(
    views: Iterable[Tensor], size: tuple[int, int], convention: str = 'psa', flip: bool = True
) -> Tensor:
    """Sum the class activation maps of several views and scale each class to about [0, 1].

    With S the sum over the views, per class (all published seeds use one of these):

    =============== =================================================== =======================
    convention      before the sum                                      scaling
    =============== =================================================== =======================
    ``psa``         relu, bilinear to (H, W)                            S / (max + 1e-5)
    ``irn``         relu, bilinear to multiples of 16, cut to (H, W)    S / (max + 1e-5)
    ``irn_strided`` relu, bilinear to (H-1)//4+1, (W-1)//4+1            S / (max + 1e-5)
    ``seam``        bilinear to (H, W), negative values stay            see below
    ``flipmax``     bilinear to (H, W), maximum of view and its mirror  S' = S - min,
                    image, relu                                         S' / (max S' + 1e-5)
    ``mctformer``   bilinear to (H, W), negative values stay            S' = S - min,
                                                                        S' / (max S' + 1e-8)
    ``acr``         bilinear to (H, W), relu                            S' = S - min,
                                                                        relu(S' - 1e-5) /
                                                                        (max S' + 1e-5)
    =============== =================================================== =======================

    SEAM: negative S become 0; with m and M the smallest and the largest value, values below
    m + 1e-5 become 0, then (S - m - 1e-5) / (M - m + 1e-5), so that zeros end slightly negative.
    Clamp the result before it is stored as a map in [0, 1].

    Args:
        views: Maps ``(..., K, h, w)`` before relu, mirrored back
            (:func:`mmwsss.ops.multi_view.view_maps`); taken one at a time. Only the classes in
            the image labels make sense: select them first.
        size: ``(H, W)`` of the image.
        convention: One of the above: PSA and PuzzleCAM; IRN; SEAM, TransCAM and PMM; AFA and
            ToCo; MCTformer; ACR.
        flip: Whether every other view is a mirror image (matters for ``flipmax`` only).

    Returns:
        ``(..., K, H, W)``; for ``irn_strided`` at its reduced size.

    Raises:
        ValueError: Unknown convention, or no view.
    """
    if convention not in _CONVENTIONS:
        raise ValueError(f'convention={convention!r} is not one of {list(_CONVENTIONS)}')
    before, after, normalize = _CONVENTIONS[convention]
    grid = _merge_grid(size, convention)
    if convention == 'flipmax' and flip:
        views = _maximum_of_pairs(views, grid)
    total = None
    for view in views:
        with one_thread():  # not around the network that makes the views
            maps = after(upsample(before(view), grid))
            total = maps if total is None else total + maps
    if total is None:
        raise ValueError('there is no view to merge')
    if convention != 'irn_strided':
        total = total[..., : size[0], : size[1]]
    with one_thread():
        return normalize(total)


def _merge_grid(size: tuple[int, int], convention: str) -> tuple[int, int]:
    height, width = size
    if convention == 'irn_strided':
        return (height - 1) // 4 + 1, (width - 1) // 4 + 1
    if convention == 'irn':
        return ((height - 1) // 16 + 1) * 16, ((width - 1) // 16 + 1) * 16
    return height, width


def _maximum_of_pairs(views: Iterable[Tensor], size: tuple[int, int]) -> Iterator[Tensor]:
    views = iter(views)
    for pair in zip(views, views, strict=True):
        with one_thread():
            best = torch.maximum(*(upsample(view, size) for view in pair))
        yield best


def _divide_by_max(total: Tensor) -> Tensor:
    return total / (total.amax(dim=(-2, -1), keepdim=True) + 1e-5)


def _normalize_seam(total: Tensor) -> Tensor:
    total = total.relu()
    low = total.amin(dim=(-2, -1), keepdim=True)
    high = total.amax(dim=(-2, -1), keepdim=True)
    total = total.masked_fill(total < low + 1e-5, 0)
    return (total - low - 1e-5) / (high - low + 1e-5)


def _normalize_flipmax(total: Tensor) -> Tensor:
    return _divide_by_max(total - total.amin(dim=(-2, -1), keepdim=True))


def _normalize_acr(total: Tensor) -> Tensor:
    total = total - total.amin(dim=(-2, -1), keepdim=True)
    high = total.amax(dim=(-2, -1), keepdim=True)
    return (total - 1e-5).relu() / (high + 1e-5)


def _same(view: Tensor) -> Tensor:
    return view


# before and after a view is resized, and of the sum
_CONVENTIONS = {
    'psa': (torch.relu, _same, _divide_by_max),
    'irn': (torch.relu, _same, _divide_by_max),
    'irn_strided': (torch.relu, _same, _divide_by_max),
    'seam': (_same, _same, _normalize_seam),
    'flipmax': (torch.relu, _same, _normalize_flipmax),
    'mctformer': (_same, _same, partial(minmax_normalize, eps=1e-8)),
    'acr': (_same, torch.relu, _normalize_acr),
}
CONVENTIONS = tuple(_CONVENTIONS)
