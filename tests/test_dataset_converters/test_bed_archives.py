"""Archives of WSSS-BED: their names, and their way into folders of ours."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mmwsss.datasets.converters.bed_archives import (
    activation_keys,
    find_archives,
    import_archive,
    saliency_keys,
)
from mmwsss.datasets.label_list import read_label_list
from mmwsss.ops.saliency import quantize
from mmwsss.stores.cam_store import load_cam
from mmwsss.utils.io import read_mask, write_mask
from mmwsss.utils.provenance import ChangedError

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/import_bed.py'


def make_archive(folder, key, names, inside='some/folder/'):
    """A zip of pictures that hold every byte."""
    for i, name in enumerate(names):
        write_mask(folder / 'one.png', np.roll(np.arange(256, dtype=np.uint8), i).reshape(16, 16))
        with zipfile.ZipFile(folder / f'{key}.zip', 'a') as archive:
            archive.write(folder / 'one.png', f'{inside}{name}.png')
    (folder / 'one.png').unlink(missing_ok=True)
    return folder / f'{key}.zip'


def test_names_of_the_release():
    assert len(set(activation_keys())) == 87 and len(set(saliency_keys())) == 43
    assert not set(activation_keys()) & set(saliency_keys())
    for key in ('VOC2012_EPS_PoolNet_MSRA_HKU', 'COCO_L2G_MOVE', 'VOC2012_L2G_sal_EDAM'):
        assert key in activation_keys()
    assert 'COCO_EPS_DeepUSPS' not in activation_keys()
    for key in ('COCO2014_DeepUSPS', 'VOC2012_VST_COCO20', 'COCO2014_sal_L2G'):
        assert key in saliency_keys()


def test_activations_become_a_store_of_the_same_bytes(tmp_path):
    names = ['2007_000032_0', '2007_000032_14', '2007_000039_19']
    archive = make_archive(tmp_path, 'VOC2012_CAM', names)
    assert import_archive(archive, 'VOC2012_CAM', tmp_path / 'out') == 2
    stored = load_cam(tmp_path / 'out/2007_000032.npz', 20)
    assert stored.labels.tolist() == [0, 14] and stored.size == (16, 16)
    first = np.arange(256, dtype=np.uint8).reshape(16, 16)
    bytes_again = quantize(torch.from_numpy(stored.cam)).numpy()
    assert np.array_equal(bytes_again[0], first) and bytes_again[1, 0, 0] == 255
    time = (tmp_path / 'out/2007_000032.npz').stat().st_mtime_ns
    import_archive(archive, 'VOC2012_CAM', tmp_path / 'out')
    assert (tmp_path / 'out/2007_000032.npz').stat().st_mtime_ns == time


def test_a_damaged_file_of_an_archive_is_named(tmp_path):
    archive = make_archive(tmp_path, 'VOC2012_MOVE', ['a'], 'x/')
    content = bytearray(archive.read_bytes())
    content[content.index(b'IDAT') + 8] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r'VOC2012_MOVE\.zip: x/a\.png cannot be read .*CRC'):
        import_archive(archive, 'VOC2012_MOVE', tmp_path / 'out')


def test_saliency_becomes_a_folder_whatever_is_around_it(tmp_path):
    archive = make_archive(tmp_path, 'VOC2012_MOVE', ['2007_000032'], '../../away/')
    content = zipfile.ZipFile(archive).read('../../away/2007_000032.png')
    with zipfile.ZipFile(archive, 'a') as file:
        file.writestr('__MACOSX/some/._2007_000032.png', b'')
        file.writestr('some/._2007_000032.png', b'')
        file.writestr('some\\2007_000033.PNG', content)
    assert import_archive(archive, 'VOC2012_MOVE', tmp_path / 'in/out') == 2
    assert read_mask(tmp_path / 'in/out/2007_000033.png').shape == (16, 16)
    assert read_mask(tmp_path / 'in/out/2007_000032.png').shape == (16, 16)
    assert not list(tmp_path.parent.glob('away'))
    folder = tmp_path / 'VOC2012_VST_DUTS'
    folder.mkdir()
    write_mask(folder / 'a.png', np.zeros((3, 4), np.uint8))
    assert import_archive(folder, folder.name, tmp_path / 'unpacked') == 1
    write_mask(folder / 'a.png', np.full((3, 4), 9, np.uint8))
    with pytest.raises(ChangedError, match='inputs of 1 images have changed'):
        import_archive(folder, folder.name, tmp_path / 'unpacked')
    (folder / 'a.png').rename(folder / 'b.png')
    with pytest.raises(ChangedError, match=r'1 images that do not belong .*: a'):
        import_archive(folder, folder.name, tmp_path / 'unpacked')
    import_archive(folder, folder.name, tmp_path / 'unpacked', restart=True)
    assert [path.name for path in (tmp_path / 'unpacked').glob('*.png')] == ['b.png']


def test_what_does_not_fit_is_refused(tmp_path):
    archive = make_archive(tmp_path, 'COCO_DRS', ['x_79', 'x_80', 'y'])
    with pytest.raises(ValueError, match=r'2 of 3 files are not called .*0\.\.79.*: x_80, y'):
        import_archive(archive, 'COCO_DRS', tmp_path / 'out')
    with pytest.raises(ValueError, match="did you mean 'COCO_DRS'"):
        import_archive(archive, 'COCO_DSR', tmp_path / 'out')
    (tmp_path / 'VOC2012_DRS.zip').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='cannot be read as a zip archive'):
        import_archive(tmp_path / 'VOC2012_DRS.zip', 'VOC2012_DRS', tmp_path / 'out')
    double = make_archive(tmp_path, 'VOC2012_MOVE', ['a'], 'one/')
    with zipfile.ZipFile(double, 'a') as file:
        file.writestr('two/a.png', b'')
    with pytest.raises(ValueError, match=r'holds a\.png in two folders'):
        import_archive(double, 'VOC2012_MOVE', tmp_path / 'out')
    (tmp_path / 'VOC2012_DRS').mkdir()
    with pytest.raises(ValueError, match='as archive and as folder'):
        find_archives(tmp_path)
    with pytest.raises(FileNotFoundError, match='none of the released archives'):
        find_archives(tmp_path / 'VOC2012_DRS')


def test_tool(tmp_path):
    downloads = tmp_path / 'downloads'
    downloads.mkdir()
    make_archive(downloads, 'VOC2012_OAA', ['2007_000032_0'])
    make_archive(downloads, 'VOC2012_DeepUSPS', ['2007_000032'])
    (tmp_path / 'train_cls.txt').write_text('2007_000032 0 14\n')
    command = [sys.executable, str(TOOL), str(downloads), str(tmp_path / 'out')]
    done = subprocess.run(
        [*command, '--labels', str(tmp_path / 'train_cls.txt')], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '2 archives found, 128 of the released ones' in done.stdout
    assert (tmp_path / 'out/act_maps/VOC2012_OAA/2007_000032.npz').is_file()
    assert (tmp_path / 'out/sal_maps/VOC2012_DeepUSPS/2007_000032.png').is_file()
    labels = json.loads((tmp_path / 'out/train_cls.json').read_text())
    assert labels == {'2007_000032': ['aeroplane', 'person']}


def test_label_lists_that_are_ambiguous(tmp_path):
    (tmp_path / 'a.txt').write_text('a,0,1\n')
    with pytest.raises(ValueError, match='separate the id and its classes by blanks'):
        read_label_list(tmp_path / 'a.txt', ['cat', 'dog'])
    for content, message in (
        ({'a': np.array([0, -1])}, 'the entry of a must hold 0 and 1'),
        ({1: np.array([0, 1]), '1': np.array([1, 0])}, 'names the image 1 twice'),
    ):
        np.save(tmp_path / 'a.npy', content)
        with pytest.raises(ValueError, match=message):
            read_label_list(tmp_path / 'a.npy', ['cat', 'dog'])


def test_label_lists_of_three_forms(tmp_path):
    names = ['cat', 'dog', 'cow']
    (tmp_path / 'a.txt').write_text('x 2 0\ny\n')
    (tmp_path / 'a.json').write_text('{"x": ["cow", "cat"], "y": []}')
    vectors = {'x': np.float32([1, 0, 1]), 'y': np.float32([0, 0, 0])}
    np.save(tmp_path / 'a.npy', vectors)
    for suffix in ('txt', 'json', 'npy'):
        assert read_label_list(tmp_path / f'a.{suffix}', names) == {'x': [0, 2], 'y': []}
    for content, message in (
        ('x 3\n', r'classes outside 0\.\.2.*x \[3\]'),
        ('x 0\nx 1\n', 'names the image x twice'),
        ('x cat\n', 'no image id followed by'),
    ):
        (tmp_path / 'a.txt').write_text(content)
        with pytest.raises(ValueError, match=message):
            read_label_list(tmp_path / 'a.txt', names)
    with pytest.raises(ValueError, match='expected one number for each of the 2 classes'):
        read_label_list(tmp_path / 'a.npy', names[:2])
    np.save(tmp_path / 'b.npy', {'x': tmp_path})
    with pytest.raises(ValueError, match='refused to build'):
        read_label_list(tmp_path / 'b.npy', names)
    with pytest.raises(ValueError, match='unknown class'):
        read_label_list(tmp_path / 'a.json', names[:2])
    with pytest.raises(ValueError, match=r'are read from \.txt'):
        read_label_list(tmp_path / 'a.csv', names)
