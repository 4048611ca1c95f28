"""Pictures of every kind are read as a viewer shows them; broken ones are named."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.images import fit_sides, list_images, read_rgb

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


def test_exif_rotation(tmp_path):
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / 'a.png', exif=exif)
    assert np.array_equal(read_rgb(tmp_path / 'a.png'), np.rot90(RGB, -1))


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
    with pytest.raises(ValueError, match=r'a.tif .*mode F'):
        read_rgb(tmp_path / 'a.tif')


def test_list_images(tmp_path):
    for name in ('b.JPG', 'a.png', '.hidden.png', 'notes.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    assert [path.name for path in list_images(tmp_path)] == ['a.png', 'b.JPG']
    with pytest.raises(FileNotFoundError, match='holds no image'):
        list_images(tmp_path / 'folder.png')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        list_images(tmp_path / 'other')


@pytest.mark.parametrize(
    ('size', 'expected'),
    [((100, 60), (100, 60)), ((10, 20), (32, 64)), ((400, 100), (200, 50)), ((1, 900), (1, 200))],
)
def test_fit_sides(size, expected):
    image = np.full((*size, 3), 77, np.uint8)
    fitted = fit_sides(image, 32, 200)
    assert fitted.shape == (*expected, 3)
    assert (fitted == 77).all()
