import numpy as np
import pytest

from mmwsss.utils.run_lengths import decode_brush, decode_runs, encode_brush, encode_runs

# label_studio_sdk.converter.brush.mask2rle of MASK * 255, which packs short runs word by word
MASK = np.array([[0, 1, 1], [1, 0, 1]], bool)
OFFICIAL = [0, 0, 0, 24, 57, 27, 252, 96, 22, 255, 227, 0, 143, 252]


def test_runs_begin_with_the_false_ones():
    assert encode_runs(np.array([False, True, True, False])) == [1, 2, 1]
    assert encode_runs(np.array([True])) == [0, 1]
    assert decode_runs([0, 2, 1]).tolist() == [True, True, False]


def test_the_brush_of_label_studio():
    assert encode_brush(MASK) == OFFICIAL
    assert np.array_equal(decode_brush(OFFICIAL, 2, 3), MASK)


def test_words_that_are_not_repeated():
    """One run of four different words: alpha is the last of each pixel."""
    head = f'{4:032b}{7:05b}' + ''.join(f'{size - 1:04b}' for size in (3, 4, 8, 16))
    for alpha, inside in ((127, False), (128, True)):
        bits = f'{head}000{3:03b}' + ''.join(f'{v:08b}' for v in (9, 8, 7, alpha))
        bits += '0' * (-len(bits) % 8)
        packed = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
        assert decode_brush(packed, 1, 1).item() is inside


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (160, 250)])
def test_there_and_back(size):
    rng = np.random.default_rng(0)
    for share in (0, 0.2, 1):
        mask = rng.random(size) < share  # 160 x 250 of one value needs several runs of 2^16
        assert np.array_equal(decode_brush(encode_brush(mask), *size), mask)
        assert np.array_equal(decode_runs(encode_runs(mask.ravel())), mask.ravel())


@pytest.mark.parametrize(
    'packed, message',
    [
        (OFFICIAL[:-2], 'cut off'),
        ([], 'cut off'),
        (None, 'no list of bytes'),
        ([256], 'no list of bytes'),
        ('abc', 'no list of bytes'),
        ([0, 0, 0, 20, *OFFICIAL[4:]], r'has 20 values of 8 bits, expected 24 .* of 3x2'),
        ([*OFFICIAL[:-5], 255, 255, 255, 255, 255], 'a run is too long|cut off'),
    ],
)
def test_damaged_brushes(packed, message):
    with pytest.raises(ValueError, match=message):
        decode_brush(packed, 2, 3)
