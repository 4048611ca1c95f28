"""Activation maps on their way from a method to what is predicted."""

from typing import NamedTuple

from torch import Tensor


class Maps(NamedTuple):
    """Maps of the classes that are in the images of a batch.

    Attributes:
        cams: ``(B, K, h, w)`` in [0, 1], of any resolution.
        classes: ``(B, K)`` 0-based foreground class of each map, -1 for none.
        label: Pseudo mask ``(B, H, W)`` at the size of the input, 255 for unsure pixels; None: it
            is decided from the maps at the size of the image.
    """

    cams: Tensor
    classes: Tensor
    label: Tensor | None = None
