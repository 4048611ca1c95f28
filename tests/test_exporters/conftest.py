import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.io import write_mask

CLASSES = ['cat', 'dog & <co>', 'büffel']


@pytest.fixture
def masks():
    """Label maps with holes, islands in holes, overlapping boxes, unknown pixels; one is empty."""
    rng = np.random.default_rng(0)
    holes = np.zeros((20, 30), np.uint8)
    holes[2:18, 3:27], holes[5:15, 6:24], holes[8:12, 9:20], holes[9:11, 12:15] = 1, 0, 3, 255
    blobs = np.kron(rng.integers(0, 4, (4, 6)), np.ones((4, 3))).astype(np.uint8)
    blobs[rng.random(blobs.shape) < 0.1] = 255
    dots = rng.integers(0, 4, (11, 13)).astype(np.uint8)
    return {'a b#1': holes, 'blobs.2': blobs, 'dots': dots, 'empty': np.zeros((5, 7), np.uint8)}


@pytest.fixture
def root(tmp_path, masks):
    """Folders ``masks`` and ``images``, and ``classes.txt``."""
    (tmp_path / 'images').mkdir()
    for key, mask in masks.items():
        write_mask(tmp_path / 'masks' / f'{key}.png', mask)
        Image.new('RGB', mask.shape[::-1]).save(tmp_path / 'images' / f'{key}.jpeg')
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES), encoding='utf-8')
    return tmp_path
