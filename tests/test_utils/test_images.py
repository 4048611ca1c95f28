"""Pictures of every kind are read as a viewer shows them; broken ones are named."""

import logging
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.images import (
    IMAGE_SUFFIXES,
    find_images,
    fit_sides,
    image_id_of,
    list_images,
    picture_size,
    read_rgb,
    scan_images,
    unwritable_name,
)

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
GREY = RGB[..., 0]


def test_rgb(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(tmp_path / 'a.png'), RGB)
    assert np.array_equal(read_rgb(str(tmp_path / 'a.png')), RGB)
    assert np.array_equal(read_rgb(Image.fromarray(RGB)), RGB)


def test_arrays_are_bgr_as_opencv_reads_them(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(cv2.imread(str(tmp_path / 'a.png'))), RGB)


@pytest.mark.parametrize('shape', [(12, 20), (12, 20, 1)])
def test_grey(tmp_path, shape):
    expected = np.stack([GREY] * 3, axis=2)
    Image.fromarray(GREY).save(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(tmp_path / 'a.png'), expected)
    assert np.array_equal(read_rgb(GREY.reshape(shape)), expected)


def test_one_bit(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(tmp_path / 'a.png')[..., 1], (GREY > 100) * np.uint8(255))


def test_16_bits_keep_the_high_byte_as_opencv_does(tmp_path):
    wide = GREY.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / 'a.png'), wide)
    assert np.array_equal(read_rgb(tmp_path / 'a.png')[..., 2], GREY)
    assert np.array_equal(read_rgb(wide)[..., 2], GREY)
    colour = RGB[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / 'b.png'), colour)
    assert np.array_equal(read_rgb(tmp_path / 'b.png'), RGB)
    assert np.array_equal(read_rgb(colour), RGB)


@pytest.mark.parametrize('highest', [200, 4095])
def test_16_bits_that_would_be_black_are_refused(tmp_path, highest):
    camera = np.linspace(0, highest, 48).reshape(6, 8).astype(np.uint16)
    Image.fromarray(camera).save(tmp_path / 'a.png')
    for source in (tmp_path / 'a.png', camera, np.dstack([camera] * 3)):
        with pytest.raises(ValueError, match=f'values of up to {highest}, which would be black'):
            read_rgb(source)
    for name in ('c.png', 'c.tif'):  # Pillow gives the high bytes of colours
        cv2.imwrite(str(tmp_path / name), np.dstack([camera] * 3))
        with pytest.raises(ValueError, match=r'values of up to (255|4095), which would be black'):
            read_rgb(tmp_path / name)
    Image.fromarray(camera * 0).save(tmp_path / 'b.png')
    assert not read_rgb(tmp_path / 'b.png').any()


def test_palette(tmp_path):
    image = Image.fromarray(GREY % 3, mode='P')
    image.putpalette([10, 20, 30, 200, 100, 50, 7, 8, 9])
    image.save(tmp_path / 'a.png')
    colours = np.array([[10, 20, 30], [200, 100, 50], [7, 8, 9]], np.uint8)
    assert np.array_equal(read_rgb(tmp_path / 'a.png'), colours[GREY % 3])
    image.save(tmp_path / 'b.png', transparency=1)
    colours[1] = 255
    assert np.array_equal(read_rgb(tmp_path / 'b.png'), colours[GREY % 3])


def test_transparent_pixels_are_white(tmp_path):
    alpha = np.where(GREY > 100, 255, 0).astype(np.uint8)
    expected = np.where(alpha[..., None] > 0, RGB, 255)
    Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(tmp_path / 'a.png'), expected)
    assert np.array_equal(read_rgb(np.dstack([RGB[..., ::-1], alpha])), expected)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_exif_rotation(tmp_path, suffix):
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / f'a{suffix}', exif=exif)
    assert np.array_equal(read_rgb(tmp_path / f'a{suffix}'), np.rot90(RGB, -1))


def test_cmyk(tmp_path):
    Image.new('CMYK', (6, 4), (0, 0, 0, 0)).save(tmp_path / 'a.jpg')
    assert read_rgb(tmp_path / 'a.jpg').shape == (4, 6, 3)
    assert read_rgb(tmp_path / 'a.jpg').min() > 250


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tif', '.bmp', '.gif', '.webp'])
@pytest.mark.parametrize('keep', [0, 20, 0.5])
def test_truncated_files_are_named(tmp_path, suffix, keep):
    path = tmp_path / f'half{suffix}'
    big = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(big).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(ValueError, match=f'half{suffix} cannot be read'):
        read_rgb(path)


def test_other_bad_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.jpg'):
        read_rgb(tmp_path / 'nothing.jpg')
    with pytest.raises(ValueError, match='files only'):
        read_rgb('https://example.com/a.jpg')
    for array in (RGB.astype(np.float32), RGB[None], RGB[..., :2], RGB[:0]):
        with pytest.raises(ValueError, match='expected a uint8'):
            read_rgb(array)
    Image.fromarray(np.zeros((3, 3), np.float32)).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match=r'a\.tif is of mode F with .*; save it with 8 '):
        read_rgb(tmp_path / 'a.tif')
    Image.fromarray(np.full((3, 3), 70_000, np.int32)).save(tmp_path / 'b.tif')
    with pytest.raises(ValueError, match=r'b\.tif is of mode I with values 70000 to 70000; save'):
        read_rgb(tmp_path / 'b.tif')


def test_content_in_memory_has_the_name_that_is_given(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    content = (tmp_path / 'a.png').read_bytes()
    assert np.array_equal(read_rgb(content), RGB)
    with pytest.raises(ValueError, match=r'image x\.zip/a\.png cannot be read'):
        read_rgb(content[:60], 'x.zip/a.png')


def test_a_broken_picture_that_is_open_is_named(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    content = bytearray((tmp_path / 'a.png').read_bytes())
    content[60:] = bytes(len(content) - 60)
    (tmp_path / 'a.png').write_bytes(content)
    with (
        Image.open(tmp_path / 'a.png') as image,
        pytest.raises(ValueError, match=r'a\.png cannot be read'),
    ):
        read_rgb(image)


def test_a_file_that_may_not_be_read_is_not_called_broken(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / 'a.png')

    def refuse(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(Image, 'open', refuse)
    with pytest.raises(ValueError, match=r'a\.png cannot be read \(Permission denied\)\. Check'):
        read_rgb(tmp_path / 'a.png')


@pytest.mark.parametrize('orientation', range(10))
@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.webp'])
def test_the_size_in_the_head_is_that_of_the_picture(tmp_path, orientation, suffix):
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f'a{suffix}', exif=exif)
    size = picture_size(tmp_path / f'a{suffix}')
    assert size == read_rgb(tmp_path / f'a{suffix}').shape[:2]
    assert size == ((20, 12) if orientation in (5, 6, 7, 8) else (12, 20))


def test_the_size_of_what_is_no_picture(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'a\.jpg cannot be read'):
        picture_size(tmp_path / 'a.jpg')
    with pytest.raises(FileNotFoundError, match=r'b\.jpg'):
        picture_size(tmp_path / 'b.jpg')


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('a.jpg', 'a'),
        ('A.JPEG', 'A'),
        ('data/sub/a.jpg', 'a'),
        (r'C:\photos\a.b.png', 'a.b'),
        ('sea lion.HEIC', 'sea lion'),
        (' a.jpg\r', 'a'),
        ('a', 'a'),
        ('2019.05.11_x', '2019.05.11_x'),
        ('a.jpg.png', 'a.jpg'),
        ('.jpg', '.jpg'),
        ('a.', 'a.'),
    ],
)
def test_image_id_of_a_name(name, expected):
    assert image_id_of(name) == expected


@pytest.mark.parametrize('name', ['a', 'sea lion', 'a.b', 'café', '斑马'])
def test_ids_that_can_stand_in_a_list(name):
    assert unwritable_name(name) is None


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('caf\udce9', 'name that is not UTF-8'),
        (' a', 'blanks at its ends'),
        ('a\xa0', 'blanks at its ends'),
        ('\ufeffa', 'blanks at its ends'),
        ('a\nb', 'line breaks'),
        ('a\u2028b', 'line breaks'),
        ('', 'line breaks'),
        ('a\x01b', 'control characters'),
        ('a\ufffe', 'control characters'),
    ],
)
def test_ids_that_cannot_stand_in_a_list(name, reason):
    assert reason in unwritable_name(name)


def fill(folder, *names) -> None:
    for name in names:
        with open(os.path.join(os.fsencode(folder), os.fsencode(name)), 'wb'):
            pass


def test_what_is_a_picture_and_what_is_left_out(tmp_path):
    pictures = [f'{i}{suffix}' for i, suffix in enumerate(IMAGE_SUFFIXES)]
    fill(tmp_path, *pictures, 'B.JPG', 'a.b.png', 'sea lion.png')
    fill(tmp_path, '.hidden.png', '._0.jpg', '.DS_Store', 'Thumbs.db', 'notes.TXT', 'a.xml')
    fill(tmp_path, 'c.HEIC', 'd.heic', 'e.pdf', 'README', b'caf\xe9.png', ' f.png', b'x.\xe9')
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'link.png').symlink_to('nowhere.png')
    (tmp_path / 'good.png').symlink_to('0.jpg')
    os.mkfifo(tmp_path / 'pipe.jpg')
    found = scan_images(tmp_path)
    assert set(found.found) == {*map(str, range(len(pictures))), 'B', 'a.b', 'sea lion', 'good'}
    assert list(found.found.values()) == sorted(found.found.values())
    assert {kind: [p.name for p in paths] for kind, paths in found.left_out.items()} == {
        'unsupported .heic': ['c.HEIC', 'd.heic'],
        'unsupported .pdf': ['e.pdf'],
        'unsupported file without suffix': ['README'],
        'unsupported .\udce9': ['x.\udce9'],
        'name that is not UTF-8': ['caf\udce9.png'],
        'name with blanks at its ends or line breaks': [' f.png'],
        'subfolder': ['folder.png'],
        'broken link': ['link.png'],
        'no regular file': ['pipe.jpg'],
    }
    told = found.describe_left_out()
    assert '2 x unsupported .heic (c.HEIC, d.heic)' in told
    assert r'1 x unsupported .\udce9 (x.\udce9)' in told
    told.encode('utf-8')


def test_what_is_written_to_does_not_count(tmp_path):
    fill(tmp_path, 'a.png')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'more').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'out')
    assert scan_images(tmp_path, [tmp_path / 'out']).left_out == {'subfolder': [tmp_path / 'more']}
    (tmp_path / 'more').rmdir()
    assert scan_images(tmp_path, [tmp_path / 'link']).describe_left_out() == ''


@pytest.mark.parametrize('names', [('a.jpg', 'a.png'), ('a.JPG', 'a.jpg'), ('a.jpeg', 'a.jpg')])
def test_two_pictures_of_one_id_are_both_named(tmp_path, names):
    fill(tmp_path, 'b.jpg', *names)
    message = rf"{tmp_path}/{names[0]} and {tmp_path}/{names[1]} have the same image id 'a'"
    with pytest.raises(ValueError, match=message):
        scan_images(tmp_path)
    with pytest.raises(ValueError, match=message):
        find_images(tmp_path, ['a', 'b'])
    assert find_images(tmp_path, ['b']) == {'b': tmp_path / 'b.jpg'}


def test_pictures_of_given_ids(tmp_path):
    fill(tmp_path, 'a.JPG', 'b.png', 'b.txt', 'b.xml', '._b.jpg', 'c.heic', 'e.png')
    (tmp_path / 'd.png').symlink_to('nowhere.png')
    (tmp_path / 'a.png').mkdir()
    assert find_images(tmp_path, iter('ba')) == {
        'a': tmp_path / 'a.JPG',
        'b': tmp_path / 'b.png',
    }
    with pytest.raises(FileNotFoundError, match='has no image for 3 of 4 ids: c, d, x'):
        find_images(tmp_path, 'acdx')
    with pytest.raises(FileNotFoundError, match=r'image folder .*nothing does not exist'):
        find_images(tmp_path / 'nothing', 'a')


def test_list_images(tmp_path, caplog):
    fill(tmp_path, 'b.JPG', 'a.png', '.hidden.png', 'notes.txt')
    assert [path.name for path in list_images(tmp_path)] == ['a.png', 'b.JPG']
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'folder.png/a.heic').touch()
    with pytest.raises(FileNotFoundError, match=r'holds no image \(.*left out .*1 x .* \.heic'):
        list_images(tmp_path / 'folder.png')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        list_images(tmp_path / 'other')


def test_what_is_left_out_is_a_warning(tmp_path, monkeypatch):
    fill(tmp_path, 'a.png', 'b.heic')
    told = []
    monkeypatch.setattr('mmwsss.utils.images.print_log', lambda *args: told.append(args))
    list_images(tmp_path)
    list_images(tmp_path, [tmp_path / 'b.heic'])
    assert told == [
        (f'left out in {tmp_path}: 1 x unsupported .heic (b.heic)', 'current', logging.WARNING)
    ]


@pytest.mark.parametrize(
    ('size', 'expected'),
    [((100, 60), (100, 60)), ((10, 20), (32, 64)), ((400, 100), (200, 50)), ((1, 900), (1, 200))],
)
def test_fit_sides(size, expected):
    image = np.full((*size, 3), 77, np.uint8)
    fitted = fit_sides(image, 32, 200)
    assert fitted.shape == (*expected, 3)
    assert (fitted == 77).all()
