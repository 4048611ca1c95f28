"""Maps of the official codes: their layouts are read, code in the files is not run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmwsss.datasets.cam_store import load_cam
from mmwsss.datasets.converters.cams import import_cams, read_official_cam

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'import_cams.py'
SIZE = (9, 14)


@pytest.fixture
def maps():
    return np.random.default_rng(0).random((2, *SIZE), dtype=np.float32)


def test_dictionary_of_classes(tmp_path, maps):
    np.save(tmp_path / 'a.npy', {7: maps[0], np.int64(2): maps[1]})
    labels, cam = read_official_cam(tmp_path / 'a.npy')
    assert labels.tolist() == [2, 7]
    np.testing.assert_array_equal(cam, maps[::-1])


def test_keys_and_tensors_as_irn_writes_them(tmp_path, maps):
    content = dict(keys=torch.tensor([3, 5]), cam=torch.from_numpy(maps)[:, ::4, ::4])
    np.save(tmp_path / 'a.npy', dict(content, high_res=maps))
    labels, cam = read_official_cam(tmp_path / 'a.npy')
    assert labels.tolist() == [3, 5]
    np.testing.assert_array_equal(cam, maps)
    _, cam = read_official_cam(tmp_path / 'a.npy', field='cam')
    np.testing.assert_array_equal(cam, maps[:, ::4, ::4])


def test_half_precision_and_the_negative_zeros_of_seam(tmp_path, maps):
    maps[0, 0, 0] = -2e-5
    np.save(tmp_path / 'a.npy', dict(keys=np.array([3, 5]), attn_highres=maps.astype(np.float16)))
    cam = read_official_cam(tmp_path / 'a.npy')[1]
    assert cam.dtype == np.float32 and cam[0, 0, 0] == 0
    np.testing.assert_allclose(cam, maps.clip(0), atol=5e-4)


class Payload:
    """Pickles as a call that makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


class TensorPayload(Payload):
    """The same through torch's loader of storages, which unpickles its argument."""

    def __reduce__(self):
        import io

        buffer = io.BytesIO()
        torch.save(Payload(self.target), buffer, _use_new_zipfile_serialization=False)
        return torch.storage._load_from_bytes, (buffer.getvalue(),)


@pytest.mark.parametrize('payload', [Payload, TensorPayload])
def test_code_in_a_file_is_not_run(tmp_path, maps, payload):
    np.save(tmp_path / 'a.npy', {3: maps[0], 4: payload(tmp_path / 'ran')})
    with pytest.raises(ValueError, match=r'a.npy: '):
        read_official_cam(tmp_path / 'a.npy')
    assert not (tmp_path / 'ran').exists()
    np.load(tmp_path / 'a.npy', allow_pickle=True)  # the payload itself works
    assert (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'content, message',
    [
        (np.zeros((2, 3)), 'plain array of float64; expected a dictionary'),
        (np.array([None, 1]), 'expected a dictionary'),
        ({'x': 1}, r"holds the keys \['x'\]; expected classes"),
        ({'keys': [1], 'pred': np.zeros((1, 2, 2))}, "holds .* but none of .*'high_res'"),
        ({1: np.zeros((2, 2)), 2: np.zeros((2, 3))}, 'different shapes'),
        ({1: np.full((2, 2), 1.5)}, r'outside \[0, 1\]'),
        ({20: np.zeros((2, 2))}, 'foreground classes from 0..19'),
    ],
)
def test_other_content_is_refused(tmp_path, content, message):
    np.save(tmp_path / 'a.npy', content, allow_pickle=True)
    with pytest.raises(ValueError, match=f'a.npy.*({message})'):
        read_official_cam(tmp_path / 'a.npy', num_foreground=20)


def test_truncated_and_foreign_files(tmp_path, maps):
    path = tmp_path / 'a.npy'
    np.save(path, {3: maps[0]})
    for content in (path.read_bytes()[:-40], b'', b'no numpy file'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'a.npy: .*expected a dictionary of arrays'):
            read_official_cam(path)


def test_tool_makes_a_cam_store(tmp_path, maps):
    for folder in ('maps', 'images'):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / 'maps' / 'a.npy', {7: maps[0], 2: maps[1]})
    Image.new('RGB', SIZE[::-1]).save(tmp_path / 'images' / 'a.jpg')
    done = subprocess.run(
        [sys.executable, TOOL, 'maps', 'store', '--images', 'images'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    stored = load_cam(tmp_path / 'store' / 'a.npz', 20, SIZE)
    assert stored.labels.tolist() == [2, 7]
    np.testing.assert_allclose(stored.cam, maps[::-1], atol=5e-4)


def test_missing_images_are_counted_and_named(tmp_path, maps):
    for name in ('a', 'b'):
        np.save(tmp_path / f'{name}.npy', {7: maps[0]})
    (tmp_path / 'images').mkdir()
    Image.new('RGB', (4, 4)).save(tmp_path / 'images' / 'b.png')
    with pytest.raises(ValueError, match='no image for 1 of 2 files: a'):
        import_cams(tmp_path, tmp_path / 'store', tmp_path / 'images', 20)
    with pytest.raises(ValueError, match=r'holds no .npy file'):
        import_cams(tmp_path / 'images', tmp_path / 'store', tmp_path / 'images', 20)
