"""The Grad-CAM family on any network that can be cut in two.

All methods weigh the activation A of one layer by the gradient G of a class score there. The
network is cut at that layer: the front part runs without gradients, the part behind it once for
all classes, and one batched backward pass gives the gradients of every (image, class) pair. No
hooks, and no parameter needs a gradient.

A linear head on globally averaged features needs none of this: there Grad-CAM is CAM / (h w).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..pairs import pair_slots
from ..resize import upsample
from ..threads import one_thread
from . import minmax_normalize

METHODS = ('gradcam', 'gradcampp', 'xgradcam', 'layercam', 'hirescam')


@one_thread()
def channel_weights(activation: Tensor, gradient: Tensor, method: str = 'gradcam') -> Tensor:
    """Channel weights of the methods that have them.

    - ``gradcam`` (arXiv 1610.02391): ``mean_hw G``.
    - ``gradcampp`` (1710.11063): ``sum_hw relu(G) a`` with
      ``a = G^2 / (2 G^2 + G^3 sum_hw A + 1e-6)``, 0 where G is 0.
    - ``xgradcam`` (2008.02312): ``sum_hw G A / (sum_hw A + 1e-7)``.

    Args:
        activation, gradient: ``(..., C, h, w)``.

    Returns:
        ``(..., C)``.

    Raises:
        ValueError: Another method; ``layercam`` and ``hirescam`` weigh every position.
    """
    space = (-2, -1)
    if method == 'gradcam':
        return gradient.mean(space)
    total = activation.sum(space)
    if method == 'gradcampp':
        square = gradient**2
        cube = square * gradient
        share = square / (2 * square + total[..., None, None] * cube + 1e-6)
        return (gradient.relu() * share.masked_fill(gradient == 0, 0)).sum(space)
    if method == 'xgradcam':
        return (gradient * activation).sum(space) / (total + 1e-7)
    raise ValueError(f'method={method!r} has no channel weights')


@one_thread()
def gradcam_maps(activation: Tensor, gradient: Tensor, method: str = 'gradcam') -> Tensor:
    """Maps before relu and scaling.

    ``sum_c w_c A_c`` with :func:`channel_weights`; ``layercam``: ``sum_c relu(G_c) A_c``;
    ``hirescam`` (arXiv 2011.08891): ``sum_c G_c A_c``.

    Args:
        activation, gradient: ``(..., C, h, w)``.
        method: One of :data:`METHODS`.

    Returns:
        ``(..., h, w)``.

    Raises:
        ValueError: Unknown method.
    """
    if method not in METHODS:
        raise ValueError(f'method={method!r} is not one of {METHODS}')
    if method == 'layercam':
        weights = gradient.relu()
    elif method == 'hirescam':
        weights = gradient
    else:
        weights = channel_weights(activation, gradient, method)[..., None, None]
    return (weights * activation).sum(-3)


@one_thread()
def scale_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Relu, [0, 1] per map, bilinear to ``size``, [0, 1] again (pytorch-grad-cam's order).

    Args:
        maps: ``(..., h, w)``.

    Returns:
        ``(..., *size)`` in [0, 1].
    """
    return minmax_normalize(upsample(minmax_normalize(maps.relu()), size))


def tokens_to_map(tokens: Tensor, grid: tuple[int, int], num_prefix: int = 1) -> Tensor:
    """``(B, L, C)`` tokens to ``(B, C, h, w)``, without the first ``num_prefix`` (class) tokens.

    Raises:
        ValueError: The tokens do not fill the grid.
    """
    patches = tokens[:, num_prefix:]
    if patches.shape[1] != grid[0] * grid[1]:
        raise ValueError(
            f'{patches.shape[1]} patch tokens do not fill a grid of {grid[0]} x {grid[1]}; it is '
            'image height / patch size x image width / patch size'
        )
    return patches.transpose(1, 2).unflatten(-1, grid)


def class_gradients(
    tail: Callable[[Tensor], Tensor], target: Tensor, image_index: Tensor, class_index: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of class scores with respect to a layer, all pairs in one backward pass.

    The pairs of different images share a backward pass, since no image depends on another one's
    activation; the k-th classes of all images are row k of a batched vector-Jacobian product.

    Args:
        tail: The network behind the layer, ``(B, ...) -> logits (B, K)``, without any mixing
            between images (batch norm in eval mode).
        target: Output of the layer ``(B, ...)``.
        image_index: ``(P,)`` int64 ascending, the image of each pair.
        class_index: ``(P,)`` int64, the class of each pair.

    Returns:
        Gradients ``(P, ...)`` and logits ``(B, K)``, both detached.

    Raises:
        ValueError: A class outside ``0..K-1``.
    """
    with torch.enable_grad():
        leaf = target.detach().requires_grad_()
        logits = tail(leaf)
        if not len(class_index):
            return target.new_zeros(0, *target.shape[1:]), logits.detach()
        if class_index.min() < 0 or class_index.max() >= logits.shape[1]:
            raise ValueError(
                f'classes {class_index.tolist()} are not all below the {logits.shape[1]} scores '
                'of the network'
            )
        slot = pair_slots(image_index)
        seeds = logits.new_zeros(int(slot.max()) + 1, *logits.shape)
        seeds[slot, image_index, class_index] = 1
        (gradients,) = torch.autograd.grad(logits, leaf, seeds, is_grads_batched=True)
    return gradients[slot, image_index], logits.detach()


def gradcam(
    forward_features: Callable[[Tensor], Tensor | tuple[Tensor, ...]],
    forward_tail: Callable[..., Tensor],
    inputs: Tensor,
    image_index: Tensor,
    class_index: Tensor,
    method: str = 'gradcam',
    to_map: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Maps of all (image, class) pairs of a batch.

    Args:
        forward_features: Images -> activation of the target layer, or a tuple of it and whatever
            else the rest of the network needs (a transformer's residual stream).
        forward_tail: That (unpacked) -> logits ``(B, K)``; raw scores, as usual, or softmax.
        inputs: Images ``(B, 3, H, W)``.
        image_index, class_index: The pairs, as in :func:`class_gradients`.
        method: One of :data:`METHODS`.
        to_map: Brings activation and gradient to ``(B, C, h, w)``: for transformers
            :func:`tokens_to_map` with its grid. Their target layer is the first LayerNorm of the
            last block: behind it the patch tokens no longer reach a head on the class token.

    Returns:
        Maps ``(P, h, w)`` before relu and scaling (:func:`scale_maps`), and the logits.

    Example:
        >>> net = nn.Sequential(backbone, nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc).eval()
        >>> maps, logits = gradcam(net[0], net[1:], images, torch.tensor([0]), torch.tensor([7]))
    """
    with torch.no_grad():
        features = forward_features(inputs)
    target, *context = features if isinstance(features, tuple) else (features,)
    gradient, logits = class_gradients(
        lambda leaf: forward_tail(leaf, *context), target, image_index, class_index
    )
    activation = target[image_index]
    if to_map is not None:
        activation, gradient = to_map(activation), to_map(gradient)
    return gradcam_maps(activation, gradient, method), logits
