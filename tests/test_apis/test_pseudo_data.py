"""A folder of images becomes a data set that tools/train.py reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.apis import pseudo_data
from mmwsss.apis.pseudo_data import make_pseudo_data, write_training_config
from mmwsss.apis.wsss_inferencer import WSSSInferencer
from mmwsss.datasets.cam_store import load_cam
from mmwsss.datasets.mini import MiniDataset
from mmwsss.datasets.mini_render import render_mini
from mmwsss.registry import DATASETS, MODELS
from mmwsss.utils.io import read_mask

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/wsss/clip_es_mini.py'
NETWORK = ROOT / 'configs/segmentation/deeplabv3plus_r18_pseudo_mini.py'
CLASSES = list(MiniDataset.METAINFO['classes'][1:])


@pytest.fixture(scope='module')
def inferencer() -> WSSSInferencer:
    return WSSSInferencer(CONFIG, CLASSES, device='cpu', crf=None, original_size=False)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six images, and their labels beside them."""
    folder, labels = tmp_path / 'photos', {}
    folder.mkdir()
    for i in range(6):
        image, mask, _ = render_mini('train', i)
        Image.fromarray(image).save(folder / f'{i}{(".png", ".bmp")[i % 2]}')
        labels[str(i)] = [CLASSES[v - 1] for v in np.unique(mask) if 0 < v < 255]
    (tmp_path / 'labels.json').write_text(json.dumps(labels))
    return folder


def given_labels(photos: Path) -> dict:
    return json.loads((photos.parent / 'labels.json').read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_what_is_written(inferencer, photos, tmp_path):
    out, labels = tmp_path / 'data', given_labels(photos)
    made = make_pseudo_data(inferencer, photos, out, labels, processes=1)
    assert made.ids == sorted(labels)
    assert made.failed == {}
    assert made.unlabelled == []
    assert json.loads((out / 'image_labels.json').read_text()) == labels
    assert (out / 'train.txt').read_text().split() == made.ids
    assert (out / 'classes.txt').read_text().split() == CLASSES
    some_ignored = False
    for key in made.ids:
        image = np.asarray(Image.open(out / f'images/{key}.png'))
        assert np.array_equal(image, render_mini('train', int(key))[0])
        mask = read_mask(out / f'masks/{key}.png')
        allowed = {0, 255, *(CLASSES.index(name) + 1 for name in labels[key])}
        assert mask.shape == image.shape[:2]
        assert set(np.unique(mask)) <= allowed
        assert load_cam(out / f'cams/{key}.npz', 10, mask.shape).labels.tolist() == [
            CLASSES.index(name) for name in labels[key]
        ]
        some_ignored |= bool((mask == 255).any())
    assert some_ignored


def test_without_confidence_nothing_is_ignored(inferencer, photos, tmp_path):
    out = tmp_path / 'data'
    make_pseudo_data(inferencer, photos, out, given_labels(photos), confidence=None, processes=1)
    assert not any((read_mask(path) == 255).any() for path in (out / 'masks').glob('*.png'))


def test_predicted_labels_and_images_without_any(inferencer, photos, tmp_path):
    Image.fromarray(np.full((100, 100, 3), 120, np.uint8)).save(photos / 'blank.png')
    out = tmp_path / 'data'
    made = make_pseudo_data(inferencer, photos, out, label_threshold=0.3, processes=1)
    assert 'blank' in made.unlabelled
    assert 'blank' not in made.ids
    assert 'blank' not in (out / 'train.txt').read_text().split()
    truth = given_labels(photos)
    hits = sum(len(set(made.labels[key]) & set(truth[key])) for key in truth)
    assert hits >= 4


def test_goes_on_where_it_stopped(inferencer, photos, tmp_path, monkeypatch):
    labels = given_labels(photos)
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    make_pseudo_data(inferencer, photos, whole, labels, processes=1)

    store = pseudo_data._store

    def store_two(out_dir, result):
        if result.name == '2':
            raise KeyboardInterrupt
        store(out_dir, result)

    with monkeypatch.context() as patch:
        patch.setattr(pseudo_data, '_store', store_two)
        with pytest.raises(KeyboardInterrupt):
            make_pseudo_data(inferencer, photos, parts, labels, batch_size=1, processes=1)
    assert {path.stem for path in (parts / 'cams').iterdir()} == {'0', '1'}
    before = (parts / 'cams/0.npz').stat().st_mtime_ns
    make_pseudo_data(inferencer, photos, parts, labels, batch_size=1, processes=1)
    assert (parts / 'cams/0.npz').stat().st_mtime_ns == before
    for name, content in contents(whole).items():
        if not name.startswith('cams'):  # zip files hold the time of writing
            assert (parts / name).read_bytes() == content, name


def test_other_settings_are_refused(inferencer, photos, tmp_path):
    out = tmp_path / 'data'
    make_pseudo_data(inferencer, photos, out, given_labels(photos), processes=1)
    with pytest.raises(ValueError, match='other settings'):
        make_pseudo_data(inferencer, photos, out, label_threshold=0.3)


def test_bad_input_is_refused_before_any_work(inferencer, photos, tmp_path):
    out, labels = tmp_path / 'data', given_labels(photos)
    with pytest.raises(ValueError, match=r'no entry for 1 of 6 images: 3'):
        make_pseudo_data(inferencer, photos, out, {k: v for k, v in labels.items() if k != '3'})
    with pytest.raises(ValueError, match="unknown class 'caw'"):
        make_pseudo_data(inferencer, photos, out / 'other', {**labels, '5': ['caw']})
    Image.new('RGB', (20, 20)).save(photos / '1.jpg')
    with pytest.raises(ValueError, match=r"1\.bmp and .*1\.jpg have the same image id '1'"):
        make_pseudo_data(inferencer, photos, out, labels)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        make_pseudo_data(inferencer, tmp_path / 'nowhere', out, labels)
    assert not list(tmp_path.rglob('*.npz'))


def test_nothing_found_at_all(inferencer, photos, tmp_path):
    with pytest.raises(RuntimeError, match='no class was found in any of 6 images'):
        make_pseudo_data(inferencer, photos, tmp_path / 'data', label_threshold=1)


def test_training_config(inferencer, photos, tmp_path):
    out = tmp_path / 'data'
    names = ['background', 'boat', 'car']
    init_default_scope('mmseg')
    make_pseudo_data(inferencer, photos, out, given_labels(photos), processes=1)
    path = write_training_config(NETWORK, out, inferencer.classes, inferencer.palette)
    cfg = Config.fromfile(path)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 6
    assert dataset.metainfo['classes'] == inferencer.classes
    assert dataset[0]['data_samples'].gt_sem_seg.data.max() <= 255
    assert DATASETS.build(cfg.test_dataloader.dataset)[0]['inputs'].shape[0] == 3
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    for change in (NETWORK, ROOT / 'configs/segmentation/deeplabv1_resnet38_mini.py'):
        cfg = Config.fromfile(write_training_config(change, out, names, inferencer.palette[:3]))
        assert cfg.model.decode_head.num_classes == 3
        assert cfg.model.get('auxiliary_head', cfg.model.decode_head).num_classes == 3
    cfg.model.backbone.init_cfg = None
    MODELS.build(cfg.model)
    with pytest.raises(FileNotFoundError, match='nothing'):
        write_training_config('nothing.py', out, names, inferencer.palette)


def run_tool(cwd: Path, *args: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / 'tools/make_pseudo_labels.py', *args]
    command += ['--config', CONFIG, '--network', NETWORK, '--device', 'cpu', '--processes', 1]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    return subprocess.run(map(str, command), cwd=cwd, env=env, capture_output=True, text=True)


def test_tool_does_the_rest_and_names_broken_files(photos, tmp_path):
    (photos / '2b.png').write_bytes((photos / '2.png').read_bytes()[:200])
    done = run_tool(tmp_path, 'photos', 'data', '--classes', *CLASSES, '--threshold', 0.05)
    assert done.returncode == 1, done.stderr
    assert '2b.png cannot be read' in done.stderr.splitlines()[-2]
    assert done.stderr.splitlines()[-1].startswith('1 images could not be read')
    ids = (tmp_path / 'data/train.txt').read_text().split()
    assert len(ids) >= 5
    assert all((tmp_path / f'data/masks/{key}.png').is_file() for key in ids)
    (photos / '2b.png').write_bytes((photos / '2.png').read_bytes())
    done = run_tool(tmp_path, 'photos', 'data', '--classes', *CLASSES, '--threshold', 0.05)
    assert done.returncode == 0, done.stderr
    assert '2b' in (tmp_path / 'data/train.txt').read_text().split()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nowhere', 'data', '--classes', 'cow'], 'nowhere does not exist'),
        (['photos', 'data', '--classes', 'cow', 'cow'], 'more than once: cow'),
        (['photos', 'data', '--classes', ''], 'at least one class name'),
        (['photos', 'data', '--classes', 'cow', '--labels', 'labels.json'], 'unknown class'),
    ],
)
def test_tool_tells_mistakes_without_a_traceback(photos, tmp_path, args, message):
    done = run_tool(tmp_path, *args)
    assert done.returncode == 1
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
