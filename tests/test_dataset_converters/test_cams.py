"""Maps of the official codes: their layouts are read, code in the files is not run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmwsss.datasets.converters.cams import import_cams, read_official_cam
from mmwsss.stores.cam_store import load_cam

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
        ({1: np.full((2, 2), np.nan)}, r'outside \[0, 1\]'),
        ({1: np.full((2, 2), -3.0)}, 'the maps go down to -3'),
        ({20: np.zeros((2, 2))}, 'foreground classes from 0..19'),
        ({-1: np.zeros((2, 2))}, 'foreground classes from 0..19'),
        ({10**30: np.zeros((2, 2))}, 'too large'),
        ({True: np.zeros((2, 2))}, r'holds the keys \[True\]; expected classes'),
        ({1: np.zeros((2, 2), complex)}, 'its maps are complex128, no real numbers'),
        ({1: np.full((2, 2), 'x')}, 'its maps are <U1, no real numbers'),
        ({1: None}, 'its maps are object, no real numbers'),
        ({1: np.zeros((0, 2))}, 'its maps are empty'),
        ({'keys': ['cat'], 'cam': np.zeros((1, 2, 2))}, 'labels are <U3'),
        ({'keys': [[1], [2, 3]], 'cam': np.zeros((2, 2, 2))}, 'inhomogeneous'),
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


def test_a_field_of_the_other_layout_is_not_passed_over(tmp_path, maps):
    np.save(tmp_path / 'a.npy', {3: maps[0]})
    with pytest.raises(ValueError, match=r'a.npy: it is a dictionary .* no field|without a field'):
        read_official_cam(tmp_path / 'a.npy', field='high_res')


@pytest.fixture
def folders(tmp_path, maps):
    """Maps and images of two ids; returns the arguments of import_cams."""
    for folder in ('maps', 'images'):
        (tmp_path / folder).mkdir()
    for name in ('a', 'b'):
        np.save(tmp_path / 'maps' / f'{name}.npy', {7: maps[0], 2: maps[1]})
        Image.new('RGB', SIZE[::-1]).save(tmp_path / 'images' / f'{name}.JPG')
    return tmp_path / 'maps', tmp_path / 'store', tmp_path / 'images'


def test_tool_makes_a_cam_store(folders, maps, run_tool):
    source, store, images = folders
    (source / '._a.npy').write_bytes(b'?')
    for name in ('a.json', 'a.xml', '._a.jpg'):
        (images / name).write_text('{}')
    result = run_tool('import_cams.py', source, store, '--images', images)
    assert result.code == 0, result.err
    assert '2 files' in result.out
    stored = load_cam(store / 'a.npz', 20, SIZE)
    assert stored.labels.tolist() == [2, 7]
    np.testing.assert_allclose(stored.cam, maps[::-1], atol=5e-4)


def test_tool_counts_what_it_left_out(folders, run_tool):
    source, store, images = folders
    (source / 'c.NPY').touch()
    (source / 'd.npy').symlink_to(source / 'nowhere')
    (source / 'sub').mkdir()
    result = run_tool('import_cams.py', source, store, '--images', images)
    assert result.code == 1
    assert sorted(path.stem for path in store.glob('*.npz')) == ['a', 'b']
    for kind in ('.NPY, which must be .npy (c.NPY)', 'broken link (d.npy)', 'subfolder (sub)'):
        assert f'1 x {kind}' in result.err


def test_missing_images_are_counted_and_named(folders):
    source, store, images = folders
    (images / 'a.JPG').unlink()
    with pytest.raises(FileNotFoundError, match='no image for 1 of 2 ids: a'):
        import_cams(source, store, images, 20)
    assert not store.exists()
    with pytest.raises(ValueError, match=r'holds no .npy file'):
        import_cams(images, store, images / '..', 20)


def test_a_mask_beside_the_image_is_not_taken_for_it(folders):
    source, store, images = folders
    Image.new('L', (4, 4)).save(images / 'a.png')
    with pytest.raises(ValueError, match=r"a\.JPG and .*a\.png have the same image id 'a'"):
        import_cams(source, store, images, 20)
    assert not store.exists()


def turned(size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.new('RGB', size), exif


def test_the_size_is_that_of_the_picture_as_it_is_shown(folders, maps):
    source, store, images = folders
    image, exif = turned(SIZE, 6)  # lies in the file, is shown upright
    image.save(images / 'a.JPG', exif=exif)
    import_cams(source, store, images, 20)
    assert load_cam(store / 'a.npz').size == SIZE


def test_maps_of_a_picture_that_was_not_turned_are_refused(folders):
    source, store, images = folders
    image, exif = turned(SIZE[::-1], 6)
    image.save(images / 'b.JPG', exif=exif)
    with pytest.raises(ValueError, match=r'b\.npy: its maps are 14x9 but .*b\.JPG .* 9x14.*EXIF'):
        import_cams(source, store, images, 20)


def test_square_and_small_maps_fit_any_image(folders):
    source, store, images = folders
    np.save(source / 'a.npy', {7: np.zeros((5, 5))})
    np.save(source / 'b.npy', {})
    import_cams(source, store, images, 20)
    assert load_cam(store / 'a.npz').cam.shape == (1, 5, 5)
    assert load_cam(store / 'b.npz').labels.size == 0


def test_an_interrupted_import_goes_on(folders, monkeypatch):
    source, store, images = folders
    import_cams(source, store, images, 20)
    before = (store / 'a.npz').stat().st_mtime_ns
    (store / 'b.npz').write_bytes((store / 'b.npz').read_bytes()[:-30])
    assert import_cams(source, store, images, 20) == 2
    assert (store / 'a.npz').stat().st_mtime_ns == before
    load_cam(store / 'b.npz')


def test_a_store_of_other_settings_or_files_is_refused(folders, maps):
    source, store, images = folders
    import_cams(source, store, images, 20)
    with pytest.raises(ValueError, match='other settings: num_foreground: 20 -> 21'):
        import_cams(source, store, images, 21)
    np.save(source / 'a.npy', {7: maps[0] / 2})
    with pytest.raises(ValueError, match='inputs of 1 images have changed'):
        import_cams(source, store, images, 20)
    import_cams(source, store, images, 20, restart=True)
    assert load_cam(store / 'a.npz').labels.tolist() == [7]
    (store / 'made_from.json').unlink()
    with pytest.raises(ValueError, match=r'holds 2 \.npz files but no made_from\.json'):
        import_cams(source, store, images, 20, restart=True)


def test_the_store_is_none_of_the_inputs(folders, run_tool):
    source, _, images = folders
    for store in (source, images):
        with pytest.raises(ValueError, match=r'the store is .* would be overwritten'):
            import_cams(source, store, images, 20)
    result = run_tool('import_cams.py', source, source, '--images', images)
    assert result.code == 1 and result.err.startswith('error: the store is')
    with pytest.raises(ValueError, match='number of foreground classes must be a whole number'):
        import_cams(source, source / 's', images, 0)
