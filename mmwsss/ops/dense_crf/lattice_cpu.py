"""Mean field of a fully connected CRF on the CPU: the permutohedral lattice, compiled by numba.

The work is bound by memory traffic, so a step of mean field passes once over the pixels: gather
from both lattices, take the softmax, and at once splat the result into the lattices of the next
step. The probabilities never go to memory but in the last step. Between two passes the lattices
are blurred. The labels lie in blocks of 4 or 8 lanes, each one register; two problems of up to four
labels share a block of 8, whose traffic is hardly more than that of 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..kernels.compiled import compiled
from ..kernels.simd import (
    add,
    add_product,
    add_scaled,
    exp,
    fill,
    lane_max,
    lane_sum,
    load,
    max_of_four,
    maximum,
    reciprocal,
    store,
    sum_of_four,
    tanh_half,
    zero,
)
from .grid import key_grid

_HASH = np.uint64(0x9E3779B97F4A7C15)
_TILE = 64  # pixels that are transposed at once
_FOUR = 4  # labels that fit half of a block
_LOWEST = -1e30  # score of the lanes that fill the last block up


@compiled(fastmath=False)
def _locate(point, scale, rank, elevated, nearest, barycentric):  # pragma: no cover - compiled
    """Simplex of a point: ``nearest`` lattice point, ``rank`` of the axes, weights of corners."""
    d = len(point)
    step, inverse = np.float32(d + 1), np.float32(1 / (d + 1))
    tail = np.float32(0)
    for i in range(d - 1, -1, -1):
        c = point[i] * scale[i]
        elevated[i + 1] = tail - np.float32(i + 1) * c
        tail += c
    elevated[0] = tail
    total = np.float32(0)
    for j in range(d + 1):
        rounded = np.rint(elevated[j] * inverse)
        total += rounded
        nearest[j] = rounded * step
        rank[j] = 0
    for i in range(d):
        for j in range(i + 1, d + 1):
            smaller = np.int32(elevated[i] - nearest[i] < elevated[j] - nearest[j])
            rank[i] += smaller
            rank[j] += np.int32(1) - smaller
    shift = np.int32(total)
    barycentric[:] = 0
    for j in range(d + 1):
        r = rank[j] + shift
        if r < 0:
            r += np.int32(d + 1)
            nearest[j] += step
        elif r > d:
            r -= np.int32(d + 1)
            nearest[j] -= step
        rank[j] = r
        share = (elevated[j] - nearest[j]) * inverse
        barycentric[d - r] += share
        barycentric[d + 1 - r] -= share
    barycentric[0] += np.float32(1) + barycentric[d + 1]


@compiled(fastmath=False)
def _slot(table, key):  # pragma: no cover - compiled
    """Row of a key in the open-addressed table (key, number), or the free row where it belongs."""
    mask = len(table) - 1
    slot = np.int64((np.uint64(key) * _HASH) >> np.uint64(40)) & mask
    while table[slot, 1] >= 0 and table[slot, 0] != key:
        slot = (slot + 1) & mask
    return slot


@compiled(fastmath=False)
def _grown(table):  # pragma: no cover - compiled
    larger = np.full((4 * len(table), 2), -1, np.int64)
    for row in range(len(table)):
        if table[row, 1] >= 0:
            larger[_slot(larger, table[row, 0])] = table[row]
    return larger


@compiled(fastmath=False)
def _splice(features, scale, low, strides, index, weight):  # pragma: no cover - compiled
    """Corners of every point, numbered in order of appearance; the table of vertices."""
    count, d = features.shape
    elevated, nearest = np.empty(d + 1, np.float32), np.empty(d + 1, np.float32)
    barycentric, rank = np.empty(d + 2, np.float32), np.empty(d + 1, np.int32)
    table, size = np.full((1 << 16, 2), -1, np.int64), 0
    last_key, last_number = np.full(d + 1, -1, np.int64), np.zeros(d + 1, np.int32)
    for p in range(count):
        _locate(features[p], scale, rank, elevated, nearest, barycentric)
        origin = np.int64(0)
        for j in range(d):
            origin += (np.int64(nearest[j]) - low[j]) * strides[j]
        for k in range(d + 1):
            key = origin
            for j in range(d):
                key += strides[j] * (k if rank[j] <= d - k else k - d - 1)
            if key != last_key[k]:  # neighbouring points often share corners
                if 2 * size >= len(table):
                    table = _grown(table)
                slot = _slot(table, key)
                if table[slot, 1] < 0:
                    table[slot, 0], table[slot, 1] = key, size
                    size += 1
                last_key[k], last_number[k] = key, table[slot, 1]
            index[p, k] = last_number[k]
            weight[p, k] = barycentric[k]
    return table, size


@compiled(fastmath=False)
def _chain(table, steps, chains):  # pragma: no cover - compiled
    """Order the vertices along every axis: neighbours follow each other.

    A row of ``chains`` lists every vertex once; the last of each chain is stored as its complement.
    """
    size = chains.shape[1]
    vertices = np.empty(size, np.int64)
    for row in range(len(table)):
        if table[row, 1] >= 0:
            vertices[table[row, 1]] = table[row, 0]
    after, is_first = np.empty(size, np.int32), np.empty(size, np.bool_)
    for axis in range(len(steps)):
        is_first[:] = True
        for i in range(size):
            after[i] = table[_slot(table, vertices[i] + steps[axis]), 1]
            if after[i] >= 0:
                is_first[after[i]] = False
        place = 0
        for start in range(size):
            if is_first[start]:
                i = np.int32(start)
                while after[i] >= 0:
                    chains[axis, place] = i
                    place += 1
                    i = after[i]
                chains[axis, place] = ~i
                place += 1


@compiled()
def _splat_ones(index, weight, vertex):  # pragma: no cover - compiled
    """``K 1`` before the blur, in the first lane."""
    vertex[:] = 0
    for p in range(len(index)):
        for k in range(index.shape[1]):
            vertex[index[p, k], 0] += weight[p, k]


@compiled()
def _blur(values, old, chains, lanes):  # pragma: no cover - compiled
    """Blur values in place, axis by axis, and set ``old`` to zero, to be splatted to next.

    Row ``i * blocks + block`` of an array is vertex i.
    """
    size = chains.shape[1]
    blocks, half = len(old) // size, np.float32(0.5)
    old[:] = 0
    before = np.zeros((blocks, len(lanes)), np.float32)
    for axis in range(len(chains)):
        for place in range(size):
            i = chains[axis, place]
            ends = i < 0
            if ends:
                i = ~i
            else:
                after = chains[axis, place + 1]
                after = (~after if after < 0 else after) * blocks
            for block in range(blocks):
                value = load(values, i * blocks + block, lanes)
                both = load(before, block, lanes)
                if ends:
                    store(before, block, zero(lanes))
                else:
                    both = add(both, load(values, after + block, lanes))
                    store(before, block, value)
                store(values, i * blocks + block, add_scaled(value, half, both))


@compiled()
def _normalize(index, weight, vertex, alpha, compat):  # pragma: no cover - compiled
    """Put ``n = (K 1 + 1e-20) ** -1/2``, on both sides of K, and the compatibility into weights."""
    for p in range(len(index)):
        total = np.float32(0)
        for k in range(index.shape[1]):
            total += weight[p, k] * vertex[index[p, k], 0]
        factor = np.float32(np.sqrt(alpha * compat) / np.sqrt(alpha * total + 1e-20))
        for k in range(index.shape[1]):
            weight[p, k] *= factor


@compiled()
def _to_rows(unary, scores):  # pragma: no cover - compiled
    """Unary energies ``(K, C, N)`` of K problems -> negated ``(N * blocks, lanes)``."""
    problems, labels, count = unary.shape
    lanes = scores.shape[1]
    blocks = len(scores) // count
    width = blocks * lanes // problems
    for start in range(0, count, _TILE):
        for lane in range(blocks * lanes):
            problem, label = lane // width, lane % width
            for p in range(start, min(start + _TILE, count)):
                score = -unary[problem, label, p] if label < labels else np.float32(_LOWEST)
                scores[p * blocks + lane // lanes, lane % lanes] = score


@compiled()
def _from_rows(rows, out):  # pragma: no cover - compiled
    """Rows ``(N * blocks, lanes)`` -> ``(K, C, N)``."""
    problems, labels, count = out.shape
    lanes = rows.shape[1]
    blocks = len(rows) // count
    width = blocks * lanes // problems
    for start in range(0, count, _TILE):
        for problem in range(problems):
            for label in range(labels):
                lane = problem * width + label
                for p in range(start, min(start + _TILE, count)):
                    out[problem, label, p] = rows[p * blocks + lane // lanes, lane % lanes]


@compiled()
def _pass(
    scores, copies, near_index, near_weight, far_index, far_weight,
    near, far, near_splat, far_splat, lanes, gather, splat, pairs, fours,
):  # pragma: no cover - compiled  # fmt: skip
    """``prob = softmax(scores + messages)`` for all pixels, of labels that occur ``copies`` times.

    ``gather`` and ``splat`` hold the corners of the near and the far lattice to read from and to
    add to, or nothing. Without corners to splat to, the probabilities replace the scores. With
    something in ``pairs`` every lane is a problem of two labels by itself, and holds the difference
    of their scores, and then of their probabilities. With something in ``fours`` every four lanes
    are a problem by themselves.
    """
    blocks = len(scores) // len(near_index)
    prob = np.empty((blocks, len(lanes)), np.float32)
    for p in range(len(near_index)):
        top = fill(_LOWEST, lanes)
        for block in range(blocks):
            total = load(scores, p * blocks + block, lanes)
            for k in range(len(gather[0])):
                row = near_index[p, k] * blocks + block
                total = add_scaled(total, near_weight[p, k], load(near, row, lanes))
            for k in range(len(gather[1])):
                row = far_index[p, k] * blocks + block
                total = add_scaled(total, far_weight[p, k], load(far, row, lanes))
            top = maximum(top, total)
            store(prob, block, total)
        total, scale = zero(lanes), fill(1, lanes)
        if len(pairs):
            for block in range(blocks):
                value = load(prob, block, lanes)
                minus = add_scaled(zero(lanes), np.float32(-1), value)
                minus = add_scaled(zero(lanes), np.float32(-1), maximum(value, minus))
                store(prob, block, tanh_half(value, exp(minus)))
        else:
            top = max_of_four(top) if len(fours) else fill(lane_max(top), lanes)
            for block in range(blocks):
                value = exp(add_scaled(load(prob, block, lanes), np.float32(-1), top))
                total = add_product(total, load(copies, block, lanes), value)
                store(prob, block, value)
            scale = reciprocal(sum_of_four(total) if len(fours) else fill(lane_sum(total), lanes))
        for block in range(blocks):
            value = add_product(zero(lanes), scale, load(prob, block, lanes))
            if len(splat[0]) == 0:
                store(scores, p * blocks + block, value)
            for k in range(len(splat[0])):
                row = near_index[p, k] * blocks + block
                both = add_scaled(load(near_splat, row, lanes), near_weight[p, k], value)
                store(near_splat, row, both)
            for k in range(len(splat[1])):
                row = far_index[p, k] * blocks + block
                both = add_scaled(load(far_splat, row, lanes), far_weight[p, k], value)
                store(far_splat, row, both)


@compiled()
def _splat(values, index, weight, vertex, lanes):  # pragma: no cover - compiled
    """Add the rows of ``values`` (N * blocks, lanes) to the corners of their points."""
    blocks = len(values) // len(index)
    for p in range(len(index)):
        for block in range(blocks):
            value = load(values, p * blocks + block, lanes)
            for k in range(index.shape[1]):
                row = index[p, k] * blocks + block
                store(vertex, row, add_scaled(load(vertex, row, lanes), weight[p, k], value))


@compiled()
def _slice(vertex, index, weight, alpha, values, lanes):  # pragma: no cover - compiled
    """Read the points' values from their corners, times ``alpha``."""
    blocks = len(values) // len(index)
    for p in range(len(index)):
        for block in range(blocks):
            total = zero(lanes)
            for k in range(index.shape[1]):
                row = index[p, k] * blocks + block
                total = add_scaled(total, alpha * weight[p, k], load(vertex, row, lanes))
            store(values, p * blocks + block, total)


@dataclass
class _Lattice:
    """Lattice of N points: corners and their weights ``(N, d + 1)``, chains ``(d + 1, M)``."""

    index: np.ndarray
    weight: np.ndarray
    chains: np.ndarray

    @property
    def corners(self) -> tuple[int, ...]:
        return (0,) * self.index.shape[1]

    @property
    def alpha(self) -> float:
        """Factor that a filtered value gets (Adams et al.)."""
        return 1 / (1 + 2.0 ** (1 - self.index.shape[1]))


def _build(features: np.ndarray) -> _Lattice:
    count, d = features.shape
    grid = key_grid(features.max(axis=0))
    index, weight = np.empty((count, d + 1), np.int32), np.empty((count, d + 1), np.float32)
    table, size = _splice(features, grid.scale, grid.low, grid.strides, index, weight)
    chains = np.empty((d + 1, size), np.int32)
    _chain(table, grid.steps, chains)
    return _Lattice(index, weight, chains)


def _normalised(lattice: _Lattice, compat: float) -> _Lattice:
    """The same lattice, whose weights are changed in place; see :func:`_normalize`."""
    ones = _Vertices(lattice, blocks=1, lanes=(0,) * 4)
    _splat_ones(lattice.index, lattice.weight, ones.splat)
    ones.blur()
    _normalize(lattice.index, lattice.weight, ones.result, lattice.alpha, compat)
    return lattice


class _Vertices:
    """Values at the vertices of a lattice: blurred ones, and those that are splatted to."""

    def __init__(self, lattice: _Lattice, blocks: int, lanes: tuple) -> None:
        self.chains, self.lanes = lattice.chains, lanes
        shape = (lattice.chains.shape[1] * blocks, len(lanes))
        self.splat, self.result = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def blur(self) -> None:
        """Make the blurred splat the result."""
        _blur(self.splat, self.result, self.chains, self.lanes)
        self.splat, self.result = self.result, self.splat


@lru_cache(maxsize=4)
def _position_lattice(height: int, width: int, sxy: float, compat: float) -> _Lattice:
    """Lattice of the Gaussian term, the same for all images of one size."""
    return _normalised(_build(_positions(height, width, sxy)), compat)


def _positions(height: int, width: int, sxy: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(sxy)
    return np.stack([x.ravel(), y.ravel()], axis=1)


class CPUMeanField:
    """Both lattices of one image, for any number of unaries.

    Args:
        image: ``(H, W, 3)`` uint8.
        gaussian: (sxy, compat).
        bilateral: (sxy, srgb, compat).
    """

    def __init__(
        self,
        image: np.ndarray,
        gaussian: tuple[float, float],
        bilateral: tuple[float, float, float],
    ) -> None:
        height, width = image.shape[:2]
        sxy, srgb, compat = bilateral
        colour = image.reshape(-1, 3).astype(np.float32) / np.float32(srgb)
        features = np.concatenate([_positions(height, width, sxy), colour], axis=1)
        self.near = _position_lattice(height, width, *gaussian)
        self.far = _normalised(_build(features), compat)

    def infer(self, unary: np.ndarray, iterations: int, copies: np.ndarray) -> np.ndarray:
        """Unary energies ``(K, C, N)`` of K problems and copies ``(C,)`` -> posterior."""
        together = 2 if unary.shape[1] <= _FOUR else 1
        starts = range(0, len(unary), together)
        parts = [self._infer(unary[i : i + together], iterations, copies) for i in starts]
        return np.concatenate(parts)

    def infer_pairs(self, difference: np.ndarray, iterations: int) -> np.ndarray:
        """Problems of two labels, all at once.

        Args:
            difference: Unary energy of the second label minus that of the first, ``(K, N)``.
            iterations: Steps of mean field.

        Returns:
            Posterior of the second label minus that of the first ``(K, N)``.
        """
        return self._infer(difference[None], iterations, np.ones(len(difference)), (0,))[0]

    def _infer(
        self, unary: np.ndarray, iterations: int, copies: np.ndarray, pairs: tuple = ()
    ) -> np.ndarray:
        problems, labels, count = unary.shape
        fours = (0,) if labels <= _FOUR else ()
        lanes = (0,) * (_FOUR * problems if fours else 8)
        blocks = -(-labels // len(lanes))
        weights = np.ones((blocks, len(lanes)), np.float32)
        weights.reshape(problems, -1)[:, :labels] = copies
        scores = np.empty((blocks * count, len(lanes)), np.float32)
        _to_rows(unary, scores)
        terms = [_Vertices(lattice, blocks, lanes) for lattice in (self.near, self.far)]
        corners, nothing = (self.near.corners, self.far.corners), ((), ())
        for step in range(iterations + 1):
            _pass(
                scores, weights,
                self.near.index, self.near.weight, self.far.index, self.far.weight,
                *(t.result for t in terms), *(t.splat for t in terms), lanes,
                corners if step else nothing, corners if step < iterations else nothing, pairs,
                fours,
            )  # fmt: skip
            if step < iterations:
                for term in terms:
                    term.blur()
        out = np.empty_like(unary)
        _from_rows(scores, out)
        return out


def gaussian_filter(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gaussian filter on the lattice, not normalised, each point's own value included.

    Args:
        features: ``(N, d)`` float32 >= 0, coordinates in standard deviations.
        values: ``(C, N)`` float32.

    Returns:
        ``(C, N)`` float32.

    Raises:
        ValueError: The features span too many standard deviations to number the vertices.
    """
    lattice = _build(features)
    lanes = (0,) * (4 if len(values) <= 4 else 8)
    blocks = -(-len(values) // len(lanes))
    rows = np.zeros((values.shape[1], blocks * len(lanes)), np.float32)
    rows[:, : len(values)] = values.T
    rows = rows.reshape(-1, len(lanes))
    vertices = _Vertices(lattice, blocks, lanes)
    _splat(rows, lattice.index, lattice.weight, vertices.splat, lanes)
    vertices.blur()
    _slice(vertices.result, lattice.index, lattice.weight, np.float32(lattice.alpha), rows, lanes)
    return np.ascontiguousarray(rows.reshape(values.shape[1], -1)[:, : len(values)].T)
