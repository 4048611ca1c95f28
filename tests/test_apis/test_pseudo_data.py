"""A folder of images becomes a data set that tools/train.py reads."""

import importlib.util
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from safetensors.torch import load_file, save_file

from mmwsss.apis import pseudo_data
from mmwsss.apis.pseudo_data import make_pseudo_data, write_training_config
from mmwsss.apis.wsss_inferencer import WSSSInferencer
from mmwsss.datasets.mini import MiniDataset
from mmwsss.datasets.mini_render import render_mini
from mmwsss.models.utils.clip_weights import MINI_CLIP
from mmwsss.registry import DATASETS, MODELS
from mmwsss.stores.cam_store import load_cam
from mmwsss.utils.io import read_mask
from mmwsss.utils.provenance import ChangedError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/wsss/clip_es_mini.py'
NETWORK = ROOT / 'configs/segmentation/deeplabv3plus_r18_pseudo_mini.py'
CLASSES = list(MiniDataset.METAINFO['classes'][1:])


@pytest.fixture(scope='module')
def inferencer() -> WSSSInferencer:
    return WSSSInferencer(CONFIG, CLASSES, device='cpu', crf=None, original_size=False)


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_photos(tmp_path)


def draw_photos(parent: Path) -> Path:
    """Six images, and their labels beside them."""
    folder, labels = parent / 'photos', {}
    folder.mkdir()
    for i in range(6):
        image, mask, _ = render_mini('train', i)
        Image.fromarray(image).save(folder / f'{i}{(".png", ".bmp")[i % 2]}')
        labels[str(i)] = [CLASSES[v - 1] for v in np.unique(mask) if 0 < v < 255]
    (parent / 'labels.json').write_text(json.dumps(labels))
    return folder


def given_labels(photos: Path) -> dict:
    return json.loads((photos.parent / 'labels.json').read_bytes())


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
    assert {path.stem for path in (parts / 'cams').glob('*.npz')} == {'0', '1'}
    before = (parts / 'cams/0.npz').stat().st_mtime_ns
    make_pseudo_data(inferencer, photos, parts, labels, batch_size=1, processes=1)
    assert (parts / 'cams/0.npz').stat().st_mtime_ns == before
    for name, content in contents(whole).items():
        # Zip files hold the time of writing, records that of files and the name of the folder.
        if not name.endswith(('.npz', 'made_from.json')):
            assert (parts / name).read_bytes() == content, name


def run(inferencer, photos: Path, out: Path, **options) -> pseudo_data.PseudoData:
    labels = options.pop('labels', given_labels(photos))
    return make_pseudo_data(inferencer, photos, out, labels, processes=1, **options)


def test_pictures_added_later_are_done_too(inferencer, photos, tmp_path):
    out, labels = tmp_path / 'data', given_labels(photos)
    run(inferencer, photos, out)
    before = (out / 'cams/0.npz').stat().st_mtime_ns, (out / 'masks/0.png').stat().st_mtime_ns
    shutil.copy(photos / '2.png', photos / 'new.png')
    made = run(inferencer, photos, out, labels={**labels, 'new': labels['2']})
    assert made.ids == [*sorted(labels), 'new']
    after = (out / 'cams/0.npz').stat().st_mtime_ns, (out / 'masks/0.png').stat().st_mtime_ns
    assert after == before
    assert np.array_equal(read_mask(out / 'masks/new.png'), read_mask(out / 'masks/2.png'))


def other_folder(photos: Path, change: str) -> Path:
    """A folder with the same file names: all but ``3.bmp`` is copied with size and time."""
    other = photos.parent / 'other' / 'photos'
    shutil.copytree(photos, other)
    shutil.copy(photos.parent / 'labels.json', other.parent)
    shutil.copy(photos / '1.bmp', (other if change == 'folder' else photos) / '3.bmp')
    return other if change == 'folder' else photos


@pytest.mark.parametrize('missing', [None, 'train.txt'])
def test_edited_lists_are_not_written_again(inferencer, photos, tmp_path, missing):
    out, run = tmp_path / 'data', (inferencer, photos, tmp_path / 'data', given_labels(photos))
    make_pseudo_data(*run, processes=1)
    names = [name for name in ('image_labels.json', 'train.txt', 'classes.txt') if name != missing]
    for path, text in zip(
        (out / name for name in names), ('{"3": []}', '0\n1\nmore\n', 'x'), strict=False
    ):
        whole = path.read_text()
        path.write_text(text)
        if missing:
            (out / missing).unlink()
        with pytest.raises(ChangedError, match=rf'{path.name} was edited, and would be written'):
            make_pseudo_data(*run, processes=1)
        assert path.read_text() == text
        make_pseudo_data(*run, processes=1, restart=True)
        assert path.read_text() == whole


def test_masks_are_kept_when_their_maps_were_removed(inferencer, photos, tmp_path):
    out, run = tmp_path / 'data', (inferencer, photos, tmp_path / 'data', given_labels(photos))
    make_pseudo_data(*run, processes=1)
    before = contents(out)
    shutil.rmtree(out / 'cams')
    with pytest.raises(ChangedError, match='cams lacks the maps of 6 masks'):
        make_pseudo_data(*run, processes=1)
    kept = {name: data for name, data in before.items() if not name.startswith('cams')}
    assert contents(out) == kept
    make_pseudo_data(*run, processes=1, restart=True)
    assert set(contents(out)) == set(before)


@pytest.mark.parametrize('change', ['folder', 'picture'])
def test_other_pictures_of_the_same_names(inferencer, photos, tmp_path, change):
    out = tmp_path / 'data'
    run(inferencer, photos, out)
    before = contents(out)
    other = other_folder(photos, change)
    message = 'other settings: images: ' if change == 'folder' else r'other files.*\(3\)'
    with pytest.raises(ChangedError, match=message):
        run(inferencer, other, out)
    assert contents(out) == before
    run(inferencer, other, out, restart=True)
    image = np.asarray(Image.open(out / 'images/3.png'))
    assert np.array_equal(image, render_mini('train', 1)[0])
    assert not list((out / 'masks').glob('.*'))


def test_results_of_pictures_that_were_taken_out_do_not_stay(inferencer, photos, tmp_path):
    out = tmp_path / 'data'
    ids = run(inferencer, photos, out).ids
    gone = next(path for path in photos.iterdir() if path.stem == ids[0])
    gone.unlink()
    with pytest.raises(ChangedError, match=rf'files of 1 images .*: {ids[0]}\.'):
        run(inferencer, photos, out)
    run(inferencer, photos, out, restart=True)
    for folder in ('images', 'cams', 'masks'):
        assert {p.stem for p in (out / folder).glob('*.*') if p.suffix != '.json'} == {*ids[1:]}


@pytest.fixture(scope='module')
def finished(inferencer, tmp_path_factory) -> Path:
    """A finished folder that no test changes; its photographs are beside it."""
    folder = tmp_path_factory.mktemp('finished')
    run(inferencer, draw_photos(folder), folder / 'data')
    return folder / 'data'


def changed_inferencer(cfg: dict, **change) -> WSSSInferencer:
    config = Config.fromfile(CONFIG)
    config.merge_from_dict(cfg)
    given = dict(classes=CLASSES, device='cpu', crf=None, original_size=False)
    return WSSSInferencer(config, **{**given, **change})


@pytest.mark.parametrize(
    ('cfg', 'change', 'message'),
    [
        ({'model.test_cfg.maps': 'plain'}, {}, r'model\.test_cfg\.maps'),
        ({}, dict(classes=[*CLASSES, 'dog']), r'classes\.dog: \(not set\) -> dog'),
        ({}, dict(classes={n: f'{n},thing' for n in CLASSES}), 'boat -> boat,thing'),
        ({}, dict(background=['sky']), r'text\.background_names'),
        ({}, dict(templates=['the {}']), r'text\.templates'),
        ({}, dict(max_side=96), 'max_side: 512 -> 96'),
        ({}, dict(clip='other.safetensors'), 'clip: '),
    ],
    ids=['config', 'classes', 'prompts', 'background', 'templates', 'size', 'weights'],
)
def test_another_model_is_refused(finished, tmp_path, monkeypatch, cfg, change, message):
    monkeypatch.chdir(tmp_path)
    weights = {key: value + 1e-3 for key, value in load_file(MINI_CLIP).items()}
    save_file(weights, 'other.safetensors', dict(quick_gelu='true'))
    before = contents(finished)
    with pytest.raises(ChangedError, match=message):
        run(changed_inferencer(cfg, **change), finished.parent / 'photos', finished)
    assert contents(finished) == before


def test_the_same_weights_elsewhere_are_the_same(inferencer, finished, tmp_path):
    weights = shutil.copy(MINI_CLIP, tmp_path / 'copy.safetensors')
    same = changed_inferencer({}, clip=weights)
    assert same.settings() == inferencer.settings()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(confidence=None), r'confidence: 0\.95 -> None'),
        (dict(labels=None, label_threshold=0.3), r'labels: given -> 0\.3'),
        (dict(labels={str(i): ['cow', 'car'] for i in range(6)}), r'labels of 6 images \(0, 1'),
    ],
)
def test_another_rule_or_other_labels_are_refused(inferencer, finished, options, message):
    before = contents(finished)
    with pytest.raises(ChangedError, match=message):
        run(inferencer, finished.parent / 'photos', finished, **options)
    assert contents(finished) == before


def test_restart_does_again_what_has_changed(inferencer, photos, tmp_path):
    out, labels = tmp_path / 'data', given_labels(photos)
    run(inferencer, photos, out, confidence=None)
    before = (out / 'cams/0.npz').stat().st_mtime_ns
    run(inferencer, photos, out, restart=True)
    assert any((read_mask(path) == 255).any() for path in (out / 'masks').glob('*.png'))
    assert (out / 'cams/0.npz').stat().st_mtime_ns == before  # maps have no confidence
    labels['5'] = ['cow']
    made = run(inferencer, photos, out, labels=labels, restart=True)
    assert made.labels['5'] == ['cow']
    assert set(np.unique(read_mask(out / 'masks/5.png'))) <= {0, 255, CLASSES.index('cow') + 1}
    assert (out / 'cams/0.npz').stat().st_mtime_ns == before


def test_an_interrupted_restart_leaves_no_list_of_the_old_results(
    inferencer, photos, tmp_path, monkeypatch
):
    out = tmp_path / 'data'
    run(inferencer, photos, out)
    other = other_folder(photos, 'folder')
    monkeypatch.setattr(pseudo_data, '_store', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(inferencer, other, out, restart=True)
    assert {path.name for path in out.glob('[!.]*')} == {'images', 'cams', 'masks'}
    assert not [path for path in out.rglob('[!.]*.*') if path.name != 'made_from.json']


def test_cut_files_are_made_again(inferencer, photos, tmp_path):
    out = tmp_path / 'data'
    run(inferencer, photos, out)
    mask = read_mask(out / 'masks/2.png')
    for name in ('images/1.png', 'cams/2.npz', 'masks/3.png'):
        os.truncate(out / name, 60)
    run(inferencer, photos, out)
    assert np.array_equal(np.asarray(Image.open(out / 'images/1.png')), render_mini('train', 1)[0])
    assert np.array_equal(read_mask(out / 'masks/2.png'), mask)
    read_mask(out / 'masks/3.png')


@pytest.mark.parametrize('name', ['train.txt', 'images/a.png', 'cams/a.npz', 'masks/a.png'])
def test_files_of_unknown_origin_are_never_overwritten(inferencer, photos, tmp_path, name):
    out = tmp_path / 'data'
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b'mine')
    for restart in (False, True):
        with pytest.raises(ChangedError, match=r'not known\s+what they were made from'):
            run(inferencer, photos, out, restart=restart)
    assert (out / name).read_bytes() == b'mine'
    assert not list(out.rglob('[0-9].*'))


@pytest.mark.parametrize('inside', ['.', 'images', 'cams', 'masks', 'network'])
def test_results_never_overwrite_the_photographs(inferencer, photos, tmp_path, inside):
    out = tmp_path / 'data'
    (out / inside).mkdir(parents=True)
    folder = tmp_path / 'link'
    folder.symlink_to(out / inside)
    for path in photos.iterdir():
        shutil.copy(path, folder)
    before = contents(out)
    with pytest.raises(ValueError, match=r'which is also the image folder.*Choose another'):
        run(inferencer, folder, out, labels=given_labels(photos))
    assert contents(out) == before


def test_results_never_overwrite_what_links_point_to(inferencer, photos, tmp_path):
    (tmp_path / 'data').mkdir()
    shutil.copytree(photos, tmp_path / 'data/images')
    for path in photos.iterdir():
        path.unlink()
        path.symlink_to(tmp_path / 'data/images' / path.name)
    with pytest.raises(ValueError, match=r'3 images would be overwritten .*images/0\.png'):
        run(inferencer, photos, tmp_path / 'data')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(label_threshold=1.0), r'label_threshold must be a number in \[0, 1\), got 1.0'),
        (dict(label_threshold=-0.1), 'label_threshold'),
        (dict(label_threshold=float('nan')), 'label_threshold'),
        (dict(confidence=2), r'confidence must be a number in \[0, 1\], got 2'),
        (dict(confidence=float('nan')), 'confidence'),
        (dict(confidence='0.9'), 'confidence'),
        (dict(batch_size=0), 'batch_size must be a whole number'),
        (dict(batch_size=2.5), 'batch_size'),
        (dict(batch_size=2.0), 'batch_size'),
    ],
)
def test_numbers_out_of_range_are_refused_before_any_work(
    inferencer, photos, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        make_pseudo_data(inferencer, photos, tmp_path / 'data', **options)
    with pytest.raises(ValueError, match='processes must be a whole number'):
        make_pseudo_data(inferencer, photos, tmp_path / 'data', processes=0)
    assert not (tmp_path / 'data').exists()


def test_a_folder_that_cannot_be_written_is_found_at_once(inferencer, photos, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'Cannot write into .*file/data'):
        run(inferencer, photos, tmp_path / 'file/data')


def test_what_is_left_out_is_told(inferencer, photos, tmp_path):
    out = photos / 'results'  # does not count itself
    labels = given_labels(photos)
    (photos / 'c.HEIC').touch()
    (photos / 'd.jpg').symlink_to('nowhere.jpg')
    (photos / 'more').mkdir()
    (photos / 'notes.txt').touch()
    (photos / '._0.png').touch()
    for name in (b'caf\xe9.png', b' blank.png'):
        shutil.copy(photos / '0.png', os.path.join(os.fsencode(photos), name))
    for _ in range(2):
        made = run(inferencer, photos, out, labels=labels)
        assert made.ids == sorted(labels)
        assert made.left_out == (
            f'left out in {photos}: 1 x name with blanks at its ends or line breaks ( blank.png); '
            '1 x unsupported .heic (c.HEIC); 1 x name that is not UTF-8 (caf\\udce9.png); '
            '1 x broken link (d.jpg); 1 x subfolder (more)'
        )


def test_bad_input_is_refused_before_any_work(inferencer, photos, tmp_path):
    out, labels = tmp_path / 'data', given_labels(photos)
    with pytest.raises(ValueError, match=r'no entry for 1 of 6 images: 3'):
        make_pseudo_data(inferencer, photos, out, {k: v for k, v in labels.items() if k != '3'})
    with pytest.raises(ValueError, match=r"5\.bmp: unknown class 'caw'"):
        make_pseudo_data(inferencer, photos, out, {**labels, '5': ['caw']})
    with pytest.raises(ValueError, match=r'4\.png: '):
        make_pseudo_data(inferencer, photos, out, {**labels, '4': None})
    with pytest.raises(ValueError, match='name no class for any image'):
        make_pseudo_data(inferencer, photos, out, {key: [] for key in labels})
    Image.new('RGB', (20, 20)).save(photos / '1.jpg')
    with pytest.raises(ValueError, match=r"1\.bmp and .*1\.jpg have the same image id '1'"):
        make_pseudo_data(inferencer, photos, out, labels)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        make_pseudo_data(inferencer, tmp_path / 'nowhere', out, labels)
    assert not out.exists()


def test_nothing_found_at_all(inferencer, photos, tmp_path):
    with pytest.raises(RuntimeError, match='no class was found in any of 6 images'):
        make_pseudo_data(inferencer, photos, tmp_path / 'data', label_threshold=0.9999)


def test_nothing_can_be_read(inferencer, tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/a.jpg').write_bytes(b'no picture')
    with pytest.raises(RuntimeError, match=r'not one of 1 images could be read: .*a\.jpg'):
        make_pseudo_data(inferencer, tmp_path / 'photos', tmp_path / 'data')


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


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Run the tool in ``tmp_path``; its exit code, or the error that it ends with."""
    monkeypatch.syspath_prepend(ROOT / 'tools')
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location('make', ROOT / 'tools/make_pseudo_labels.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run_tool(*args: object) -> int | str:
        given = ['make', 'photos', 'data', '--config', CONFIG, '--network', NETWORK]
        given += ['--device', 'cpu', '--processes', 1, '--classes', *CLASSES, *args]
        given += [] if {'--labels', '--threshold'} & {*args} else ['--threshold', 0.05]
        monkeypatch.setattr(sys, 'argv', [str(arg) for arg in given])
        try:
            module.main()
        except SystemExit as done:
            return done.code
        return 0

    return run_tool


def test_tool_does_the_rest_and_names_broken_files(photos, tool, capsys):
    Path('photos/2b.png').write_bytes((photos / '2.png').read_bytes()[:200])
    assert tool() == 1
    errors = capsys.readouterr().err.splitlines()
    assert '2b.png cannot be read' in errors[-2]
    assert errors[-1] == '1 images could not be read; the others are done'
    ids = Path('data/train.txt').read_text().split()
    assert len(ids) >= 5
    assert all(Path(f'data/masks/{key}.png').is_file() for key in ids)
    shutil.copy('photos/2.png', 'photos/2b.png')
    assert tool() == 0
    assert '2b' in Path('data/train.txt').read_text().split()


def test_tool_looks_window_by_window(photos, tool):
    assert tool('--labels', 'labels.json', '--window', 64, '--no-sheet') == 0
    with Image.open('data/images/0.png') as image, Image.open('photos/0.png') as photo:
        assert image.size == photo.size
    assert load_cam('data/cams/0.npz').cam.shape[1:] == read_mask('data/masks/0.png').shape
    refused = tool('--labels', 'labels.json', '--window', 64, '--stride', 30)
    assert 'stride: 42 -> 30' in refused


def test_tool_shows_the_most_doubtful_masks(photos, tool, capsys):
    Image.fromarray(np.full((100, 100, 3), 120, np.uint8)).save('photos/blank.png')
    assert tool('--no-sheet') == 0
    assert not Path('data/review.html').exists()
    assert tool('--top', 2) == 0
    assert 'The most doubtful masks: data/review.html' in capsys.readouterr().out
    page = Path('data/review.html').read_text(encoding='utf-8')
    assert page.count('<article') == 2
    left_out = {'blank'} - set(Path('data/train.txt').read_text().split())
    assert ('No class was found in 1 others: blank' in page) == bool(left_out)
    head, *rows = Path('data/review.csv').read_text().splitlines()
    assert head == 'image,doubt,unsure,margin,label,mask,problem'
    ids = Path('data/train.txt').read_text().split()
    assert sorted(row.split(',')[0] for row in rows) == ids
    assert all(row.split(',')[4] for row in rows)  # labels were predicted
    Path('data/review.csv').write_text('mine')
    assert tool() == 0
    assert 'no review sheet: data/review.csv' in capsys.readouterr().err


def test_tool_tells_what_is_left_out_at_the_start_and_at_the_end(photos, tool, capsys, monkeypatch):
    Path('photos/c.HEIC').touch()
    Path('photos/d.jpg').symlink_to('nowhere.jpg')
    os.rename(b'photos/0.png', b'photos/caf\xe9.png')
    Path('photos/2.png').rename('photos/2.jfif')
    line = (
        'left out in photos: 1 x unsupported .heic (c.HEIC); '
        '1 x name that is not UTF-8 (caf\\udce9.png); 1 x broken link (d.jpg)'
    )
    with monkeypatch.context() as patch:
        patch.setattr(MODELS, 'build', lambda cfg: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tool()
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert tool() == 1
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert '2' in Path('data/train.txt').read_text().split()


def test_tool_writes_names_that_the_terminal_cannot_show(photos, tool, monkeypatch):
    shutil.copy('photos/0.png', 'photos/斑马.png')
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(io.BytesIO(), encoding='ascii'))
    assert tool('--classes', 'bœuf=cow', 'boat') == 0
    sys.stdout.flush()
    assert r'b\u0153uf: ' in sys.stdout.buffer.getvalue().decode()
    assert Path('data/classes.txt').read_text(encoding='utf-8') == 'bœuf\nboat\n'


def test_tool_does_not_overwrite_an_edited_config(photos, tool):
    assert tool() == 0
    path = Path('data/train.py')
    written = path.read_text()
    path.write_text(f'{written}# mine')
    assert 'train.py is not what would be written now: it was edited' in tool()
    assert path.read_text().endswith('# mine')
    assert tool('--restart') == 0
    assert path.read_text() == written


def test_tool_refuses_other_pictures_unless_told_to_restart(photos, tool):
    assert tool() == 0
    photos.rename('earlier')
    shutil.copytree('earlier', 'photos', copy_function=shutil.copy)
    assert 'or say --restart' in tool()
    assert tool('--restart') == 0


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--classes', 'cow', 'cow'], 'more than once: cow'),
        (['--classes', 'cow', 'Cow'], 'names cow, Cow more than once'),
        (['--classes', 'cow', '__background__'], "'__background__' is implied"),
        (['--classes', ''], 'at least one class name'),
        (['--classes', 'caf\udce9'], r"class 'caf\udce9' is a name that is not UTF-8"),
        (['--threshold', 'nan'], 'label_threshold must be a number in [0, 1), got nan'),
        (['--threshold', '1'], 'label_threshold'),
        (['--confidence', '2'], 'confidence must be a number in [0, 1], got 2.0'),
        (['--confidence', '-0.1'], 'confidence'),
        (['--batch-size', '0'], 'batch_size'),
        (['--processes', '-1'], 'processes'),
        (['--max-side', '20'], 'max_side must be a whole number in [64, inf]'),
        (['--templates', 'a photo'], "the template 'a photo' must hold '{}' once"),
        (['--background', 'sky', 'Sky'], 'background name given more than once: sky'),
        (['--device', 'cuda:99'], "device 'cuda:99' cannot be used here"),
        (['--device', 'meta'], "device 'meta' cannot be used here"),
        (['--clip', 'nothing.pt'], 'CLIP weights nothing.pt do not exist'),
        (['--network', 'nothing.py'], 'nothing.py does not exist'),
        (['--network', 'bad.py'], 'bad.py cannot be read as a config (SyntaxError'),
        (['--network', CONFIG], 'is not a config of a network to train'),
        (['--config', NETWORK], 'is not a config of CLIP-ES or of ExCEL'),
    ],
)
def test_tool_tells_mistakes_before_a_model_is_built(photos, tool, monkeypatch, args, message):
    Path('bad.py').write_text('model = dict(')
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('built'))
    assert message in tool(*args)
    assert not Path('data').exists()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"0": ["cow"], "0": ["car"]}', "holds the key '0' twice"),
        ('{"0": ["cow"]}', 'no entry for 5 of 6 images: 1, 2, 3, 4, 5'),
        ('{"0": "cow"}', "the entry of image '0' must be a list"),
        (json.dumps({i: ['caw'] for i in range(6)}), "0.png: unknown class 'caw'"),
        ('["cow"]', 'must hold an object'),
        ('{"0": [', 'not valid JSON'),
    ],
)
def test_tool_tells_mistakes_in_labels_before_a_model_is_built(
    photos, tool, monkeypatch, text, message
):
    Path('other.json').write_text(text)
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('built'))
    assert message in tool('--labels', 'other.json')
    assert not Path('data').exists()


def test_tool_reads_labels_of_any_encoding(photos, tool):
    Path('labels.json').write_text(Path('labels.json').read_text(), encoding='utf-16')
    assert tool('--labels', 'labels.json') == 0
    assert json.loads(Path('data/image_labels.json').read_text()) == given_labels(photos)
