import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.io import (
    atomic_write,
    check_mask_values,
    check_some_class,
    is_whole,
    list_files,
    read_mask,
    write_mask,
)

LABELS = np.array([[0, 1, 255], [1, 0, 2]], dtype=np.uint8)


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


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', 'I;16', 'I', 'F', 'CMYK'])
def test_only_palettes_and_8_bit_grey_are_masks(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / 'm.tif')
    with pytest.raises(ValueError, match=rf'm\.tif is not a label map: its mode is {mode}'):
        read_mask(tmp_path / 'm.tif')


def test_a_mask_of_one_bit(tmp_path):
    Image.fromarray(LABELS == 1).save(tmp_path / 'm.png')
    np.testing.assert_array_equal(read_mask(tmp_path / 'm.png'), LABELS == 1)


@pytest.mark.parametrize('bits', [2, 4])
def test_a_grey_mask_of_few_bits_has_the_values_of_its_file(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint8)
    row = np.packbits(np.unpackbits(values[:, None], axis=1)[:, 8 - bits :])
    head = struct.pack('>IIBBBBB', len(values), 1, bits, 0, 0, 0, 0)
    content = b'\x89PNG\r\n\x1a\n'
    for kind, data in (
        (b'IHDR', head),
        (b'IDAT', zlib.compress(b'\0' + bytes(row))),
        (b'IEND', b''),
    ):
        check = zlib.crc32(kind + data)
        content += struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)
    np.testing.assert_array_equal(read_mask(content), [values])


@pytest.mark.parametrize('mode', ['L', 'P'])
def test_a_mask_is_turned_as_exif_says(tmp_path, mode):
    image = Image.fromarray(LABELS)
    if mode == 'P':
        image.putpalette(bytes(range(256)) * 3)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / 'm.png', exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / 'm.png'), np.rot90(LABELS, -1))


def test_a_mask_in_memory(tmp_path):
    write_mask(tmp_path / 'm.png', LABELS)
    content = (tmp_path / 'm.png').read_bytes()
    np.testing.assert_array_equal(read_mask(content), LABELS)
    with pytest.raises(ValueError, match=r'x\.zip/m\.png cannot be read'):
        read_mask(content[:40], name='x.zip/m.png')
    with pytest.raises(ValueError, match=r'x\.zip/m\.png holds the values \[2\]'):
        read_mask(content, 2, 'x.zip/m.png')


def test_values_beyond_the_classes_are_named(tmp_path):
    write_mask(tmp_path / 'm.png', LABELS)
    assert read_mask(tmp_path / 'm.png', 3).max() == 255
    with pytest.raises(ValueError, match=r'm\.png holds the values \[2\], .* 2 classes 0\.\.1'):
        read_mask(tmp_path / 'm.png', 2)
    with pytest.raises(ValueError, match=r'here holds the values \[-1, 256, 65535\]'):
        check_mask_values(np.array([[-1, 256, 65535, 255, 0]]), 21, 'here')
    check_mask_values(np.array([[0, 20, 255]], np.int64), 21, 'here')


def test_masks_of_0_and_255_only_are_binary_ones(tmp_path):
    binary = np.array([[0, 255]], np.uint8)
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path in paths:
        write_mask(path, binary)
    with pytest.raises(ValueError, match=r'not one of the 3 masks holds a class.*store the object'):
        check_some_class(paths)
    write_mask(paths[2], LABELS)
    check_some_class(paths)
    write_mask(paths[0], np.zeros((2, 2), np.uint8))
    check_some_class(paths[:1])  # background is no fault
    check_some_class([])


@pytest.mark.parametrize('content', [b'', b'no picture', b'\x89PNG\r\n\x1a\n' + bytes(50)])
def test_what_is_no_picture_is_no_mask(tmp_path, content):
    (tmp_path / 'm.png').write_bytes(content)
    with pytest.raises(ValueError, match=r'm\.png cannot be read as a picture'):
        read_mask(tmp_path / 'm.png')
    with pytest.raises(FileNotFoundError, match=r'n\.png'):
        read_mask(tmp_path / 'n.png')
    with pytest.raises(ValueError, match='cannot be read as a picture'):
        read_mask(tmp_path)


@pytest.mark.parametrize('mask', [LABELS.astype(int), LABELS[None], LABELS / 2])
def test_only_label_maps_of_8_bits_are_written(tmp_path, mask):
    with pytest.raises(ValueError, match=r'm\.png: a mask must be uint8 \(H, W\)'):
        write_mask(tmp_path / 'm.png', mask)
    with pytest.raises(ValueError, match='colour 1 of the palette'):
        write_mask(tmp_path / 'm.png', LABELS, [[0, 0, 0], [0, 0, 300]])
    assert not list(tmp_path.iterdir())


def test_names_of_the_greatest_length_can_be_written(tmp_path):
    for stem in ('a' * 251, 'ü' * 125):
        write_mask(tmp_path / f'{stem}.png', LABELS)
        assert (tmp_path / f'{stem}.png').is_file()


def test_files_of_a_folder_by_their_id(tmp_path):
    for name in ('b.png', 'a.b.png', 'c.npz', '._b.png', '.b.0123456789ab.png', 'made_from.json'):
        (tmp_path / name).touch()
    found = list_files(tmp_path, '.png')
    assert list(found.items()) == [('a.b', tmp_path / 'a.b.png'), ('b', tmp_path / 'b.png')]
    assert list_files(tmp_path / 'nothing', '.png') == {}


def test_whether_a_file_has_its_end(tmp_path):
    write_mask(tmp_path / 'm.png', LABELS)
    np.savez_compressed(tmp_path / 'm.npz', a=LABELS)
    (tmp_path / 'm.txt').write_text('x')
    for name in ('m.png', 'm.npz', 'm.txt'):
        assert is_whole(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        for size in (0, len(content) // 2) if name != 'm.txt' else (0,):
            (tmp_path / name).write_bytes(content[:size])
            assert not is_whole(tmp_path / name)
    assert not is_whole(tmp_path / 'nothing.png')
    assert not is_whole(tmp_path)


def test_a_truncated_mask_is_named(tmp_path):
    path = tmp_path / 'm.png'
    write_mask(path, np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'm\.png cannot be read'):
        read_mask(path)
