import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.io import atomic_write, read_mask, write_mask


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(KeyError), atomic_write(path) as tmp:
        tmp.write_text('half')
        assert tmp.parent == tmp_path
        assert tmp.suffix == '.txt'
        raise KeyError
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['a.txt']


def test_a_finished_write_replaces_the_file_and_makes_folders(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    for text in ('one', 'two'):
        with atomic_write(path) as tmp:
            tmp.write_text(text)
    assert path.read_text() == 'two'
    assert [p.name for p in path.parent.iterdir()] == ['a.txt']


def test_unwritable_folder_is_named_before_the_work_is_done(tmp_path):
    (tmp_path / 'file').write_text('')
    target = tmp_path / 'file' / 'out.png'
    done = []
    with pytest.raises(OSError, match='is not writable') as caught, atomic_write(target):
        done.append(True)
    assert str(target.parent) in str(caught.value)
    assert not done


@pytest.mark.parametrize('palette', [None, [[0, 0, 0], [128, 0, 0]]])
def test_masks_come_back_as_written(tmp_path, palette):
    mask = np.array([[0, 1, 255], [1, 0, 2]], dtype=np.uint8)
    write_mask(tmp_path / 'm.png', mask, palette)
    np.testing.assert_array_equal(read_mask(tmp_path / 'm.png'), mask)
    with Image.open(tmp_path / 'm.png') as image:
        assert image.mode == ('L' if palette is None else 'P')
        if palette:
            assert image.convert('RGB').getpixel((1, 0)) == (128, 0, 0)


def test_a_colour_picture_is_no_mask(tmp_path):
    Image.new('RGB', (3, 2)).save(tmp_path / 'm.png')
    with pytest.raises(ValueError, match=r'm\.png is not a label map: its mode is RGB'):
        read_mask(tmp_path / 'm.png')


def test_a_truncated_mask_is_named(tmp_path):
    path = tmp_path / 'm.png'
    write_mask(path, np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'm\.png cannot be read'):
        read_mask(path)
