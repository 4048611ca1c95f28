"""Geometry of the permutohedral lattice that all its implementations share."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class KeyGrid:
    """How lattice vertices become integers.

    A vertex of the d-dimensional lattice has the first d of its integer coordinates as key. They
    are packed into one int64 in mixed radix, with room for neighbours, so that the neighbour
    along an axis is a constant away.

    Attributes:
        scale: ``(d,)`` float32, factors on the features.
        low: ``(d,)`` int64, smallest coordinates.
        strides: ``(d,)`` int64, factors of the packed coordinates.
        steps: ``(d + 1,)`` int64, differences of packed neighbours along the axes.
        size: Keys are in [0, size).
    """

    scale: np.ndarray
    low: np.ndarray
    strides: np.ndarray
    steps: np.ndarray
    size: int


def key_grid(largest: np.ndarray, copies: int = 1) -> KeyGrid:
    """Grid for features in [0, largest] (Adams et al., Eurographics 2010, section 3).

    Args:
        largest: ``(d,)``.
        copies: How many grids must fit into an int64, one after the other.

    Raises:
        ValueError: Features too large to be numbered.
    """
    d = len(largest)
    axis = np.arange(d)
    # Rounded to float32 where pydensecrf does: many pixels lie exactly between two simplices, and
    # which one they fall into decides which vertices exist.
    deviation = np.float64(np.float32(np.sqrt(2 / 3) * (d + 1)))
    scale = (deviation / np.sqrt((axis + 1) * (axis + 2))).astype(np.float32)
    c = largest.astype(np.float64) * scale
    # elevated coordinates: e_0 = sum of c, e_j = sum of c_i for i >= j - j * c_{j-1}
    highest = np.cumsum(c[::-1])[::-1]
    lowest = -np.concatenate([[0], axis[1:] * c[:-1]])
    margin = 4 * (d + 1)  # rounding to the lattice, the corners of a simplex, neighbours
    low = np.floor(lowest).astype(np.int64) - margin
    extent = np.ceil(highest).astype(np.int64) + margin - low + 1
    size = math.prod(extent.tolist())
    if size * copies >= 2**62:
        raise ValueError(
            'the standard deviations of the dense CRF are too small for this image: '
            f'it spans {largest.round(1).tolist()} standard deviations'
        )
    strides = np.concatenate([[1], np.cumprod(extent[:-1])])
    steps = strides.sum() - (d + 1) * np.append(strides, 0)
    return KeyGrid(scale, low, strides, steps, size)
