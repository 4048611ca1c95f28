"""Run lengths of binary masks, plain and in the packing of Label Studio's brush."""

from collections.abc import Sequence

import numpy as np

# Bits of a run's length: four sizes, of which each run takes the smallest that holds it.
_SIZES = (3, 4, 8, 16)
_CHANNELS = 4  # a brush is an RGBA picture


def encode_runs(flat: np.ndarray) -> list[int]:
    """Lengths of the runs of a row of truth values, beginning with the false ones.

    Args:
        flat: bool ``(N,)``, N > 0.

    Example:
        >>> encode_runs(np.array([True, True, False]))
        [0, 2, 1]
    """
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0, *counts] if flat[0] else counts


def decode_runs(counts: Sequence[int]) -> np.ndarray:
    """The opposite of :func:`encode_runs`, bool ``(sum(counts),)``."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts)


def encode_brush(mask: np.ndarray) -> list[int]:
    """A mask as Label Studio's ``brushlabels`` hold it (``format='rle'``).

    The RGBA picture, all channels 255 inside, is packed as by ``@thi.ng/rle-pack``: number of
    values, word size, four sizes of run lengths, then runs.

    Args:
        mask: bool ``(H, W)``.

    Returns:
        Bytes.
    """
    flat = mask.ravel()
    parts = [f'{flat.size * _CHANNELS:032b}{8 - 1:05b}', *(f'{size - 1:04b}' for size in _SIZES)]
    longest = 1 << _SIZES[-1]
    for index, count in enumerate(encode_runs(flat)):
        value, rest = 255 * (index % 2), count * _CHANNELS
        while rest:
            length = min(rest, longest)
            which = next(i for i, size in enumerate(_SIZES) if length <= 1 << size)
            parts.append(f'1{which:02b}{length - 1:0{_SIZES[which]}b}{value:08b}')
            rest -= length
    bits = np.frombuffer(''.join(parts).encode(), dtype=np.uint8) - ord('0')
    return np.packbits(bits).tolist()


def decode_brush(packed: Sequence[int], height: int, width: int) -> np.ndarray:
    """The opposite of :func:`encode_brush`, for what Label Studio itself has packed, too.

    Returns:
        bool ``(H, W)``, where the alpha channel is at least 128.

    Raises:
        ValueError: No bytes, cut off, damaged, or of a picture of another size.
    """
    try:
        bits = np.unpackbits(np.array(packed, dtype=np.uint8))
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'its brush is no list of bytes ({error})') from error
    reader = _Bits(bits)
    total, word = reader.read(32), reader.read(5) + 1
    sizes = [reader.read(4) + 1 for _ in range(4)]
    if word != 8 or total != height * width * _CHANNELS:
        raise ValueError(
            f'its brush has {total} values of {word} bits, expected {height * width * _CHANNELS} '
            f'of 8 for an image of {width}x{height}'
        )
    values = np.empty(total, dtype=np.uint8)
    start = 0
    while start < total:
        repeated = reader.read(1)
        end = start + 1 + reader.read(sizes[reader.read(2)])
        if end > total:
            raise ValueError('its brush is damaged: a run is too long')
        values[start:end] = reader.read(8) if repeated else reader.words(end - start)
        start = end
    return values.reshape(height, width, _CHANNELS)[..., 3] >= 128


class _Bits:
    def __init__(self, bits: np.ndarray) -> None:
        self._bits, self._at = bits, 0

    def _take(self, count: int) -> np.ndarray:
        part = self._bits[self._at : self._at + count]
        if len(part) < count:
            raise ValueError('its brush is cut off')
        self._at += count
        return part

    def read(self, count: int) -> int:
        number = 0
        for bit in self._take(count).tolist():
            number = number << 1 | bit
        return number

    def words(self, count: int) -> np.ndarray:
        return np.packbits(self._take(8 * count))
