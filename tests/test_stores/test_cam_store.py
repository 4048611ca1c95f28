"""The CAM store: what is written is read, and anything else is refused by name."""

import io
import zipfile

import numpy as np
import pytest

from mmwsss.stores.cam_store import load_cam, read_store, save_cam

LABELS, SIZE = np.array([2, 5]), (8, 12)


@pytest.fixture
def cam():
    return np.random.default_rng(0).random((2, 4, 6), dtype=np.float32)


def test_round_trip(tmp_path, cam):
    path = tmp_path / 'store' / 'a.npz'
    save_cam(path, LABELS, cam, SIZE)
    stored = load_cam(path, num_foreground=6, size=SIZE)
    assert stored.labels.tolist() == [2, 5] and stored.size == SIZE
    assert stored.cam.dtype == np.float16
    np.testing.assert_allclose(stored.cam, cam, atol=5e-4)


def test_probabilities_of_the_labels_are_kept(tmp_path, cam):
    path = tmp_path / 'a.npz'
    save_cam(path, LABELS, cam, SIZE, np.array([0.25, 1.0]))
    assert load_cam(path).scores.tolist() == [0.25, 1]
    save_cam(path, LABELS, cam, SIZE)
    assert load_cam(path).scores is None
    for wrong in (np.array([0.5]), np.array([1, 0]), np.array([0.5, 1.5]), np.array([0.5, np.nan])):
        with pytest.raises(ValueError, match=r'a\.npz: (the )?scores'):
            save_cam(path, LABELS, cam, SIZE, wrong)


def test_an_image_without_classes(tmp_path):
    save_cam(tmp_path / 'a.npz', np.zeros(0, np.int64), np.zeros((0, 4, 6), np.float32), SIZE)
    assert load_cam(tmp_path / 'a.npz').cam.shape == (0, 4, 6)


@pytest.mark.parametrize('grid', [(9, 12), (8, 13), (6, 4), (12, 8)])
def test_maps_that_are_no_reduced_ones_of_the_image(tmp_path, grid):
    path, maps = tmp_path / 'a.npz', np.zeros((2, *grid), np.float32)
    message = rf'a\.npz: maps of {grid[0]} x {grid[1]} .* of an image of 8 x 12.* larger or turned'
    with pytest.raises(ValueError, match=message):
        save_cam(path, LABELS, maps, SIZE)
    np.savez(path, labels=np.int16(LABELS), cam=np.float16(maps), size=np.int32(SIZE))
    with pytest.raises(ValueError, match=message):
        load_cam(path)


@pytest.mark.parametrize('grid', [(8, 12), (2, 3), (1, 1), (5, 5)])
def test_smaller_maps_of_any_grid_pass(tmp_path, grid):
    save_cam(tmp_path / 'a.npz', LABELS, np.zeros((2, *grid), np.float32), SIZE)
    assert load_cam(tmp_path / 'a.npz', size=SIZE).cam.shape[1:] == grid


def test_another_image_or_class_list_is_found_out(tmp_path, cam):
    save_cam(tmp_path / 'a.npz', LABELS, cam, SIZE)
    with pytest.raises(ValueError, match=r'a.npz: labels \[2, 5\] are not .* classes from 0..4'):
        load_cam(tmp_path / 'a.npz', num_foreground=5)
    with pytest.raises(ValueError, match=r'a.npz belongs to an image of 8 x 12 pixels.* 8 x 13'):
        load_cam(tmp_path / 'a.npz', size=(8, 13))


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(labels=np.array([2])), r'maps of shape \(2, 4, 6\) for labels of shape \(1,\)'),
        (dict(labels=np.array([2, 2])), 'not different foreground classes'),
        (dict(labels=np.array([-1, 2])), 'not different foreground classes'),
        (dict(labels=np.array([1.0, 2.0])), 'labels are float64'),
        (dict(cam=np.full((2, 4, 6), 1.5)), r'range from 1.5 to 1.5, outside \[0, 1\]'),
        (dict(cam=np.full((2, 4, 6), np.nan)), r'outside \[0, 1\]'),
        (dict(cam=np.zeros((2, 4, 6), np.uint8)), 'maps uint8'),
        (dict(size=np.array([8])), 'not a height and a width'),
        (dict(labels=np.array([{}, {}])), 'truncated or not a store'),
    ],
)
def test_damaged_content(tmp_path, cam, change, message):
    np.savez(tmp_path / 'a.npz', **{'labels': LABELS, 'cam': cam, 'size': np.array(SIZE), **change})
    with pytest.raises(ValueError, match=f'a.npz.*{message}'):
        load_cam(tmp_path / 'a.npz')


def test_truncated_and_foreign_files(tmp_path, cam):
    path = tmp_path / 'a.npz'
    with pytest.raises(FileNotFoundError, match=r'a.npz does not exist'):
        load_cam(path)
    save_cam(path, LABELS, cam, SIZE)
    whole = path.read_bytes()
    for content in (whole[:-30], whole[:50], b'', b'not a store', whole[:100] + b'x' + whole[101:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'a.npz is truncated or not a store of labels'):
            load_cam(path)
    np.savez(path, maps=cam)
    with pytest.raises(ValueError, match=r"it holds \['maps'\] but no low, high"):
        read_store(path, ('low', 'high'))
    with open(path, 'wb') as file:
        np.save(file, cam)
    with pytest.raises(ValueError, match='truncated or not a store'):
        load_cam(path)


def test_whatever_damaged_bytes_lead_to_names_the_file(tmp_path, cam):
    """Unknown compression, encryption, broken heads: the readers raise many kinds of errors."""
    path = tmp_path / 'a.npz'
    np.savez(path, labels=LABELS, cam=cam, size=np.array(SIZE))
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        for value in (0x00, 0xFF, 0x39):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                load_cam(path)
            except ValueError as error:
                assert 'a.npz' in str(error)
                refused += 1
    assert refused > 100


def test_a_head_that_promises_too_much_names_the_file(tmp_path):
    head = io.BytesIO()
    shape = (10**9, 10**4, 6)  # MemoryError
    np.lib.format.write_array_header_1_0(head, dict(descr='<f4', fortran_order=False, shape=shape))
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as file:
        file.writestr('cam.npy', head.getvalue())
    with pytest.raises(ValueError, match=r'a\.npz is truncated or not a store of cam'):
        read_store(tmp_path / 'a.npz', ['cam'])


def test_wrong_maps_are_not_written(tmp_path, cam):
    with pytest.raises(ValueError, match=r'outside \[0, 1\]'):
        save_cam(tmp_path / 'a.npz', LABELS, cam * 2, SIZE)
    with pytest.raises(ValueError, match=r'labels \[2, 40000\]'):  # would wrap
        save_cam(tmp_path / 'a.npz', np.array([2, 40000]), cam, SIZE)
    with pytest.raises(ValueError, match='not a height and a width'):
        save_cam(tmp_path / 'a.npz', LABELS, cam, (0, 12))
    assert not list(tmp_path.iterdir())
