"""Any image, any class name: results, predicted labels, and bad input."""

import importlib.util
import json
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

import mmwsss
from mmwsss.apis import results_zip
from mmwsss.apis.class_names import read_class_arguments
from mmwsss.apis.model_config import find_config
from mmwsss.apis.wsss_inferencer import WSSSInferencer
from mmwsss.datasets.mini import MiniDataset
from mmwsss.datasets.mini_render import render_mini
from mmwsss.exporters import FORMATS, export_masks
from mmwsss.ops.confusion import confusion_matrix, segmentation_scores
from mmwsss.registry import MODELS
from mmwsss.stores.cam_store import load_cam
from mmwsss.stores.palettes import IGNORE_COLOUR
from mmwsss.utils.io import read_mask

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/wsss/clip_es_mini.py'
CLASSES = list(MiniDataset.METAINFO['classes'][1:])
GROUNDS = ['water', 'road', 'grass', 'sky', 'sand', 'snow']


@pytest.fixture(scope='module')
def inferencer() -> WSSSInferencer:
    return WSSSInferencer(CONFIG, device='cpu')


@pytest.fixture(scope='module')
def scenes() -> list[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Images (RGB), masks and labels."""
    found = []
    for i in range(12):
        image, mask, _ = render_mini('val', i)
        names = [CLASSES[v - 1] for v in np.unique(mask) if 0 < v < 255]
        found.append((image, mask, names))
    return found


def bgr(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1]


def test_a_shipped_config_by_its_name():
    assert WSSSInferencer('clip_es_mini', device='cpu').classes == ('background', *CLASSES)
    with pytest.raises(FileNotFoundError, match=r"'clip_es_cifar'.*clip_es_mini"):
        WSSSInferencer('clip_es_cifar')


@pytest.mark.parametrize('place', ['configs', 'mmwsss/.mim/configs'])
def test_shipped_networks_are_found_with_and_without_a_checkout(tmp_path, monkeypatch, place):
    network = tmp_path / place / 'segmentation/some_network.py'
    network.parent.mkdir(parents=True)
    network.write_text('')
    monkeypatch.setattr(mmwsss, '__file__', str(tmp_path / 'mmwsss/__init__.py'))
    assert find_config('some_network') == network


def test_masks_of_given_labels_are_good(inferencer, scenes):
    images = [bgr(image) for image, _, _ in scenes]
    out = inferencer(images, [names for _, _, names in scenes], batch_size=5, show_progress=False)
    assert out['failed'] == {}
    total = torch.zeros(11, 12, dtype=torch.int64)
    for result, (image, truth, names) in zip(out['predictions'], scenes, strict=True):
        assert np.array_equal(result.image, image)
        assert result.label_names == names
        assert result.cams.shape == (len(names), *truth.shape)
        assert result.cams.dtype == np.float32
        assert result.cams.min() >= 0 and result.cams.max() <= 1
        assert set(np.unique(result.mask)) <= {0, *(CLASSES.index(n) + 1 for n in names)}
        pred, truth = torch.from_numpy(result.mask), torch.from_numpy(truth)
        total += confusion_matrix(pred.long(), truth.long(), 11)
    assert segmentation_scores(total)['miou'] > 0.4


def test_labels_are_predicted(inferencer, scenes):
    out = inferencer([bgr(image) for image, _, _ in scenes], batch_size=4, show_progress=False)
    found = [
        (r.label_names, names) for r, (_, _, names) in zip(out['predictions'], scenes, strict=True)
    ]
    hits = sum(len(set(a) & set(b)) for a, b in found)
    assert hits / sum(len(b) for _, b in found) > 0.7  # recall
    assert hits / sum(len(a) for a, _ in found) > 0.7  # precision
    for result in out['predictions']:
        assert result.scores.shape == (10,)
        assert result.labels.tolist() == np.flatnonzero(result.scores > 0.1).tolist()


def test_threshold_of_predicted_labels(inferencer, scenes):
    image = bgr(scenes[0][0])
    everything = inferencer(image, label_threshold=0)['predictions']
    assert everything.label_names == CLASSES
    nothing = inferencer(image, label_threshold=0.9999)['predictions']
    assert nothing.cams.shape == (0, *image.shape[:2])
    assert not nothing.mask.any()


def test_a_threshold_of_the_config_does_not_hold_against_the_call(scenes):
    cfg = Config.fromfile(CONFIG)
    cfg.model.test_cfg = dict(label_threshold=0.9999)
    inferencer, image = WSSSInferencer(cfg, device='cpu'), bgr(scenes[0][0])
    given = inferencer(image, image_labels=['plane', 'person'])['predictions']
    assert given.label_names == ['plane', 'person'] and len(given.cams) == 2
    assert inferencer(image, label_threshold=0)['predictions'].label_names == CLASSES
    assert cfg.model.test_cfg.label_threshold == 0.9999


def test_a_batch_gives_what_single_images_give(inferencer, scenes):
    images = [bgr(image) for image, _, _ in scenes[:5]]
    names = [names for _, _, names in scenes[:5]]
    names[2] = []  # no label
    together = inferencer(images, names, batch_size=5, show_progress=False)['predictions']
    for image, labels, result in zip(images, names, together, strict=True):
        alone = inferencer(image, labels)['predictions']
        assert alone.label_names == result.label_names
        assert np.abs(alone.cams - result.cams).max(initial=0) < 1e-4
        assert (alone.mask != result.mask).mean() < 1e-3


def test_an_image_without_labels_is_background(inferencer, scenes):
    result = inferencer(bgr(scenes[0][0]), [])['predictions']
    assert result.cams.shape == (0, *result.image.shape[:2])
    assert not result.mask.any()


def test_classes_named_at_run_time(scenes):
    inferencer = WSSSInferencer(CONFIG, {'animal': 'bird', 'ship': 'boat'}, GROUNDS, device='cpu')
    assert inferencer.classes == ('background', 'animal', 'ship')
    assert inferencer.model.text.class_names == ['bird', 'boat']
    assert inferencer.model.text.background_names == GROUNDS
    image, truth, _ = next(scene for scene in scenes if scene[2] == ['boat'])
    result = inferencer(bgr(image))['predictions']
    assert result.label_names == ['ship']
    found, true = result.mask == 2, truth == CLASSES.index('boat') + 1
    assert (found & true).sum() / (found | true).sum() > 0.3
    inferencer.set_classes(['sky', 'boat'], ['sky', 'road'], ['{}'])
    assert inferencer.classes == ('background', 'sky', 'boat')
    assert inferencer.model.text.background_names == ['road']
    assert inferencer.model.text.templates == ['{}']


def test_the_model_is_kept_where_the_texts_are(inferencer):
    model = inferencer.model
    inferencer.set_classes({f'a {name}': name for name in CLASSES})
    assert inferencer.model is model
    assert inferencer.classes[1] == 'a boat'
    inferencer.set_classes(CLASSES)


def test_other_classes_do_not_build_clip_again():
    inferencer = WSSSInferencer(CONFIG, ['boat'], GROUNDS, device='cpu')
    backbone = inferencer.model.backbone
    inferencer.set_classes(['cow', 'cat'], GROUNDS)
    assert inferencer.model.backbone is backbone
    fresh = WSSSInferencer(CONFIG, ['cow', 'cat'], GROUNDS, device='cpu')
    assert torch.equal(inferencer.model.text.embeddings, fresh.model.text.embeddings)


def test_excel_without_training_takes_any_classes(scenes, tmp_path):
    inferencer = WSSSInferencer('excel_free_mini', ['boat', 'cow'], GROUNDS, device='cpu', crf=None)
    image, truth, names = next(scene for scene in scenes if scene[2] == ['boat'])
    result = inferencer(bgr(image), names)['predictions']
    found, true = result.mask == 1, truth == CLASSES.index('boat') + 1
    assert (found & true).sum() / (found | true).sum() > 0.3
    plain = inferencer.model.text
    assert torch.equal(plain.enriched, plain.embeddings)
    path = tmp_path / 'descriptions.json'
    path.write_text(json.dumps({n: [f'a {n} on {g}.' for g in GROUNDS] for n in ('boat', 'cow')}))
    inferencer.set_classes(['boat', 'cow'], GROUNDS, bank=path)
    assert not torch.equal(inferencer.model.text.enriched, inferencer.model.text.embeddings)
    inferencer.set_classes(bank='mini')  # of the config's own classes
    assert not torch.equal(inferencer.model.text.enriched, inferencer.model.text.embeddings)
    with pytest.raises(ValueError, match='bank is for ExCEL'):
        WSSSInferencer(CONFIG, ['boat'], GROUNDS, device='cpu', bank=path)
    with pytest.raises(ValueError, match='has a decode_head'):
        WSSSInferencer(str(CONFIG).replace('clip_es_mini', 'excel_mini'))


def test_synonyms_stand_in_one_prompt():
    inferencer = WSSSInferencer(CONFIG, {'ship': ['boat', 'ship']}, device='cpu')
    assert inferencer.model.text.class_names == ['boat,ship']


def test_the_given_config_stays_as_it_is():
    cfg = Config.fromfile(CONFIG)
    WSSSInferencer(cfg, ['cow'], ['sky'], device='cpu')
    assert list(cfg.model.text.class_names) == CLASSES


def test_results_of_mmseg_style(inferencer, scenes):
    image, _, names = scenes[0]
    out = inferencer(bgr(image), names, return_datasamples=True, return_vis=True)
    sample = out['predictions']
    assert sample.pred_cam.cam.shape == (len(names), *image.shape[:2])
    assert sample.pred_sem_seg.data.shape == (1, *image.shape[:2])
    assert out['visualization'].dtype == np.uint8
    assert out['visualization'].shape[1] > image.shape[1] * 3


def test_written_results(inferencer, scenes, tmp_path):
    image, _, names = scenes[0]
    Image.fromarray(image).save(tmp_path / 'a.png')
    result = inferencer(tmp_path / 'a.png', names, out_dir=tmp_path / 'out')['predictions']
    assert np.array_equal(read_mask(tmp_path / 'out/pred/a.png'), result.mask)
    stored = load_cam(tmp_path / 'out/cams/a.npz', 10, image.shape[:2])
    assert stored.labels.tolist() == result.labels.tolist()
    assert np.abs(stored.cam - result.cams).max() < 1e-3
    assert (tmp_path / 'out/vis/a.png').is_file()


def test_large_images_are_shrunk_for_the_model(scenes):
    image, _, names = scenes[0]
    big = np.asarray(Image.fromarray(image).resize((image.shape[1] * 3, image.shape[0] * 3)))
    large = WSSSInferencer(CONFIG, device='cpu', max_side=max(image.shape))
    small = WSSSInferencer(CONFIG, device='cpu', max_side=max(image.shape), original_size=False)
    result, seen = (i(bgr(big), names)['predictions'] for i in (large, small))
    assert np.array_equal(result.image, big)
    assert result.mask.shape == result.cams.shape[1:] == big.shape[:2]
    assert seen.mask.shape == seen.cams.shape[1:] == seen.image.shape[:2] == image.shape[:2]


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (3, 200), (600, 2)])
def test_images_smaller_than_a_patch(inferencer, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    result = inferencer(image, ['cow'])['predictions']
    assert result.mask.shape == size
    assert result.cams.shape == (1, *size)
    assert np.isfinite(result.cams).all()


def save_kinds(image: np.ndarray, folder: Path) -> None:
    """The same picture in every kind of file."""
    picture = Image.fromarray(image)
    picture.save(folder / 'rgb.png')
    picture.convert('L').save(folder / 'grey.jpg')
    picture.convert('RGBA').save(folder / 'rgba.png')
    picture.quantize(64).save(folder / 'palette.png')
    Image.fromarray(np.asarray(picture.convert('L')).astype(np.uint16) * 257).save(
        folder / 'wide.png'
    )
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / 'turned.png', exif=exif)


def test_every_kind_of_picture(inferencer, scenes, tmp_path):
    image, _, names = scenes[0]
    save_kinds(image, tmp_path)
    labels = {p.stem: names for p in tmp_path.iterdir()}
    out = inferencer(tmp_path, labels, show_progress=False)
    results = {result.name: result for result in out['predictions']}
    assert sorted(results) == sorted(labels)
    for result in results.values():
        assert result.mask.shape == image.shape[:2]
    for same in ('rgba', 'turned'):
        assert np.array_equal(results[same].mask, results['rgb'].mask)


def test_a_broken_file_does_not_stop_the_others(inferencer, scenes, tmp_path):
    for i in range(4):
        Image.fromarray(scenes[i][0]).save(tmp_path / f'{i}.png')
    path = tmp_path / '1.png'
    path.write_bytes(path.read_bytes()[:300])
    for batch_size in (1, 3):
        out = inferencer(tmp_path, batch_size=batch_size, show_progress=False)
        assert [result.name for result in out['predictions']] == ['0', '2', '3']
        assert list(out['failed']) == [str(path)]
        assert '1.png cannot be read' in out['failed'][str(path)]
    with pytest.raises(ValueError, match=r'1\.png cannot be read'):
        inferencer(path)
    with pytest.raises(ValueError, match=r'nothing\.png'):
        inferencer(tmp_path / 'nothing.png')


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ([], 'at least one class name'),
        (['cow', ' '], 'no empty one'),
        (['cow', 'cat', 'cow '], 'more than once: cow'),
        (['cow', 'Cow'], 'cow, Cow more than once'),
        ({'cow': 'cow', 'cattle': 'cow'}, "given twice: .'cow'"),
        ({'cow': 'cow', 'cattle': ' Cow'}, 'given twice'),
        ({'cow': ''}, "prompt of class 'cow' is empty"),
        ({'cow': ['cow', ' ']}, "prompt of class 'cow' is empty"),
        ({'cow': 3}, "prompt of class 'cow' must be"),
        ([1, 2], 'class names must be texts'),
        (['a\nb'], 'line breaks'),
        (['caf\udce9'], 'not UTF-8'),
        (['background', 'cow'], "'background' is implied"),
        (['_background_', 'cow'], "'_background_' is implied"),
        ('cow', 'a list of names'),
        ([f'class {i}' for i in range(255)], '254 classes at most'),
        (['very ' * 80 + 'long'], '77'),
    ],
)
def test_bad_class_names(inferencer, classes, message):
    before = inferencer.classes
    with pytest.raises(ValueError, match=message):
        inferencer.set_classes(classes)
    assert inferencer.classes == before
    assert len(inferencer.cfg.model.text.class_names) == 10


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(background=['sky', 'Sky ']), 'background name given more than once: sky'),
        (dict(background=['sky', '']), 'empty name'),
        (dict(background='sky'), 'a list of names'),
        (dict(background=[None]), 'must be texts'),
        (dict(templates=[]), 'a list of sentences'),
        (dict(templates='a {}.'), 'a list of sentences'),
        (dict(templates=['a {}.', 'a photo']), "'a photo' must hold '{}' once"),
        (dict(templates=['a {{}}.']), "must hold '{}' once"),
        (dict(palette=[[0, 0, 0], [1, 2, 3]]), '2 colours for 3 classes'),
        (dict(palette=[[0, 0, 0], [1, 2, 300], [1, 2, 3]]), 'colour 1 of the palette'),
        (dict(palette=[[0, 0, 0], [1, 2], [1, 2, 3]]), 'colour 1 of the palette'),
        (dict(palette=[[0, 0, 0], [0.5, 0.5, 1.0], [1, 2, 3]]), 'colour 1 of the palette'),
        (dict(max_side=63), 'max_side must be a whole number in .64'),
        (dict(max_side=float('nan')), 'max_side'),
        (dict(max_side='512'), 'max_side'),
        (dict(device='gpu'), "device 'gpu' cannot be used here"),
        (dict(clip='no.pt'), 'CLIP weights no.pt do not exist'),
        (dict(model=ROOT / 'configs/wsss/psa_mini_cam.py'), 'not a config of CLIP-ES.* model.text'),
        (dict(model='nothing.py'), 'nothing.py does not exist'),
    ],
)
def test_bad_options_are_refused_before_a_model_is_built(monkeypatch, option, message):
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('built'))
    given = dict(model=CONFIG, classes=['cow', 'cat'], device='cpu')
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        WSSSInferencer(**{**given, **option})


def test_a_config_that_is_broken_is_named(tmp_path):
    (tmp_path / 'mine.py').write_text('model = dict(\n')
    with pytest.raises(ValueError, match=r'mine\.py cannot be read as a config'):
        WSSSInferencer(tmp_path / 'mine.py')


def test_a_palette_may_be_an_array():
    palette = np.arange(9, dtype=np.uint8).reshape(3, 3)
    inferencer = WSSSInferencer(CONFIG, ['cow', 'cat'], device='cpu', palette=palette)
    assert inferencer.palette == palette.tolist()
    with pytest.raises(ValueError, match='3 colours for 4 classes'):
        inferencer.set_classes(['cow', 'cat', 'tree'])
    assert inferencer.classes == ('background', 'cow', 'cat')


def test_background_names_that_are_classes_are_left_out():
    inferencer = WSSSInferencer(CONFIG, ['Cow', 'cat'], ['cow', 'sky'], device='cpu')
    assert inferencer.model.text.background_names == ['sky']


@pytest.mark.parametrize(
    'option',
    [
        dict(label_threshold=1),
        dict(label_threshold=-0.1),
        dict(label_threshold=float('nan')),
        dict(label_threshold='0.1'),
        dict(batch_size=0),
        dict(batch_size=1.5),
        dict(batch_size=True),
    ],
)
def test_numbers_out_of_range(inferencer, scenes, option):
    (name,) = option
    for call in (inferencer, inferencer.stream):
        with pytest.raises(ValueError, match=f'{name} must be'):
            call(bgr(scenes[0][0]), **option)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (['caw'], "image labels of 00000000: unknown class 'caw'; did you mean 'c"),
        ([['cow'], ['cat']], 'expected 1 lists'),
        ({'other': ['cow']}, '1 of 1 images have no entry'),
    ],
)
def test_bad_image_labels(inferencer, scenes, labels, message):
    with pytest.raises(ValueError, match=message):
        inferencer(bgr(scenes[0][0]), labels)


def test_two_files_of_one_name_cannot_be_written(inferencer, scenes, tmp_path):
    for name in ('a.png', 'a.bmp'):
        Image.fromarray(scenes[0][0]).save(tmp_path / name)
    with pytest.raises(ValueError, match=r"a\.bmp and .*a\.png have the same image id 'a'"):
        inferencer(tmp_path, show_progress=False)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'a.bmp').rename(tmp_path / 'other/a.bmp')
    paths = [tmp_path / 'a.png', tmp_path / 'other/a.bmp']
    with pytest.raises(ValueError, match='image name given more than once: a'):
        inferencer(paths, out_dir=tmp_path / 'out')
    with pytest.raises(ValueError, match='image name given more than once: a'):
        inferencer(paths, {'a': scenes[0][2]})
    assert len(inferencer(paths, [scenes[0][2]] * 2)['predictions']) == 2


@pytest.mark.parametrize('inside', ['.', 'vis', 'pred', 'cams'])
def test_results_never_go_into_the_image_folder(inferencer, scenes, tmp_path, inside):
    folder = tmp_path / 'out' / inside
    folder.mkdir(parents=True)
    Image.fromarray(scenes[0][0]).save(folder / 'a.png')
    with pytest.raises(ValueError, match='which is also the image folder'):
        inferencer(folder, out_dir=tmp_path / 'out')


@pytest.mark.parametrize('inside', ['vis', 'pred'])
def test_an_image_is_not_overwritten_by_its_result(inferencer, scenes, tmp_path, inside):
    path = tmp_path / inside / 'a.png'
    path.parent.mkdir()
    Image.fromarray(scenes[0][0]).save(path)
    (tmp_path / 'a.png').symlink_to(path)
    for source in (path, tmp_path / 'a.png'):
        with pytest.raises(ValueError, match=rf'would be overwritten by results: .*{inside}/a'):
            inferencer([source], out_dir=tmp_path)
    assert np.array_equal(np.asarray(Image.open(path)), scenes[0][0])


def test_results_do_not_go_among_those_of_others(inferencer, scenes, tmp_path, monkeypatch):
    Image.fromarray(scenes[0][0]).save(tmp_path / 'a.png')
    (tmp_path / 'out/cams').mkdir(parents=True)
    (tmp_path / 'out/cams/made_from.json').write_text('{}')
    with pytest.raises(ValueError, match='cams holds results of another tool'):
        inferencer(tmp_path / 'a.png', out_dir=tmp_path / 'out')
    monkeypatch.setattr('mmwsss.utils.checks._tells_apart', lambda folder, names: False)
    Image.fromarray(scenes[0][0]).save(tmp_path / 'A.png')
    with pytest.raises(ValueError, match='a, A would be one file'):
        inferencer([tmp_path / 'a.png', tmp_path / 'A.png'], out_dir=tmp_path / 'other')


def test_a_folder_that_cannot_be_written_is_found_before_the_work(inferencer, scenes, tmp_path):
    (tmp_path / 'pred').touch()
    with pytest.raises(OSError, match=r'Cannot write into .*pred'):
        inferencer(bgr(scenes[0][0]), out_dir=tmp_path)
    assert not (tmp_path / 'vis').exists()


def test_class_arguments():
    given = read_class_arguments(['cat', 'person=person with clothes,people'])
    assert given == {'cat': 'cat', 'person': 'person with clothes,people'}
    with pytest.raises(ValueError, match='more than once: cat'):
        read_class_arguments(['cat', 'cat=kitten'])


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Run the demo in ``tmp_path``; its exit code, or the error that it ends with."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location('demo', ROOT / 'demo/wsss_demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*args: object) -> int | str:
        given = ['demo', *args, '--config', CONFIG, '--device', 'cpu']
        monkeypatch.setattr(sys, 'argv', [str(arg) for arg in given])
        with pytest.raises(SystemExit) as done:
            module.main()
        return done.value.code

    return run


@pytest.fixture
def photos(scenes, tmp_path) -> Path:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(2):
        Image.fromarray(scenes[i][0]).save(folder / f'{i}.png')
    return folder


def test_demo(photos, demo, capsys):
    assert demo('photos', '--classes', *CLASSES, '--out', 'photos/out') == 0
    for folder, suffix in (('vis', 'png'), ('pred', 'png'), ('cams', 'npz')):
        names = {path.name for path in (photos / 'out' / folder).iterdir()}
        assert names == {f'{i}.{suffix}' for i in range(2)}
    assert 'photos/out/vis/1.png: ' in capsys.readouterr().out


def test_demo_names_what_cannot_be_read_and_what_is_left_out(photos, demo, capsys):
    (photos / 'bad.png').write_bytes(b'no picture')
    (photos / 'c.heic').touch()
    os.rename(b'photos/1.png', b'photos/caf\xe9.png')
    assert demo('photos') == 1
    *_, left_out, failed, count = capsys.readouterr().err.splitlines()
    assert count == '1 of 2 images could not be read'
    assert left_out == (
        'left out in photos: 1 x unsupported .heic (c.heic); '
        '1 x name that is not UTF-8 (caf\\udce9.png)'
    )
    assert failed.startswith('failed: image photos/bad.png cannot be read')


def test_demo_does_one_image_of_any_name(photos, demo, capsys):
    os.rename(b'photos/1.png', b'photos/caf\xe9.png')
    assert demo(os.fsdecode(b'photos/caf\xe9.png')) == 0
    assert r'result/vis/caf\udce9.png: ' in capsys.readouterr().out
    assert os.path.isfile(b'result/pred/caf\xe9.png')


def test_demo_packs_masks_and_overlays(photos, demo):
    (photos / 'bad.png').write_bytes(b'no picture')
    assert demo('photos', '--zip', 'all.zip', '--window', 64) == 1
    with zipfile.ZipFile('all.zip') as file:
        assert sorted(file.namelist()) == [
            'classes.txt', 'masks/0.png', 'masks/1.png', 'overlays/0.jpg', 'overlays/1.jpg',
        ]  # fmt: skip
        assert file.read('classes.txt').decode().split() == ['background', *CLASSES]
        mask = read_mask(file.read('masks/1.png'))
        overlay = np.asarray(Image.open(file.open('overlays/1.jpg')))
    assert np.array_equal(mask, read_mask('result/pred/1.png'))
    assert overlay.shape == (*mask.shape, 3)


@pytest.mark.parametrize(
    ('kind', 'names'),
    [
        ('coco', ['instances_default.json']),
        ('yolo', ['data.yaml', 'labels/0.txt', 'labels/1.txt']),
        ('label-studio', ['label_config.xml', 'label_studio_tasks.json']),
        ('cvat', ['cvat_annotations.xml']),
    ],
)
def test_demo_packs_what_the_export_tool_writes(photos, demo, kind, names):
    assert demo('photos', '--labels', 'cow', '--zip', 'all.zip', '--format', kind) == 0
    export_masks('result/pred', kind, CLASSES, 'exported', images='photos')
    with zipfile.ZipFile('all.zip') as file:
        packed = {name for name in file.namelist() if not name.startswith(('masks/', 'overlays/'))}
        assert packed == {'classes.txt', *names}
        for name in names:
            assert file.read(name) == (Path('exported') / name).read_bytes()


def test_masks_in_the_zip_are_coloured_as_those_in_the_folder(inferencer, scenes, tmp_path):
    result = inferencer(bgr(scenes[0][0]), ['boat'])['predictions']
    result.mask = np.full_like(result.mask, 255)
    inferencer.write(tmp_path, result)
    with results_zip.open_zip(tmp_path / 'a.zip', inferencer.classes, inferencer.palette) as file:
        file.add(result)
    with zipfile.ZipFile(tmp_path / 'a.zip') as file:
        zipped = Image.open(file.open(f'masks/{result.name}.png')).convert('RGB')
    written = Image.open(tmp_path / f'pred/{result.name}.png').convert('RGB')
    assert zipped.getpixel((0, 0)) == written.getpixel((0, 0)) == IGNORE_COLOUR


def test_formats_of_the_zip_are_those_of_the_export_tool():
    assert ('png', *FORMATS) == results_zip.FORMATS
    with pytest.raises(ValueError, match="cvat, got 'ccoo'; did you mean 'coco'"):
        results_zip.check_zip('a.zip', 'ccoo')


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nothing.png'], 'image nothing.png does not exist'),
        (['photos', '--out', 'photos'], 'which is also the image folder'),
        (['photos', '--threshold', '1.5'], 'label_threshold'),
        (['photos', '--threshold', '0.5', '--labels', 'cow'], '--threshold is for labels that'),
        (['photos', '--format', 'coco'], 'name one with --zip'),
        (['photos', '--zip', 'photos/1.png'], 'also the image photos/1.png'),
        (['photos', '--zip', 'photos'], 'Cannot write photos: it is a folder'),
        (['photos', '--zip', 'a.zip', '--format', 'pgn'], "did you mean 'png'"),
        (['empty'], 'empty holds no image'),
        (['photos', '--classes', 'cow', 'COW'], 'more than once'),
        (['photos', '--classes', 'cow', '--labels', 'caw'], "unknown class 'caw'"),
    ],
)
def test_demo_tells_mistakes_before_a_model_is_built(photos, demo, monkeypatch, args, message):
    Path('empty').mkdir()
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('built'))
    assert message in demo(*args)
    assert not Path('result').exists()


def test_requests_of_the_page_wait_for_each_other(tmp_path, scenes, monkeypatch):
    """Another request, which sets other classes, comes while several images are segmented."""
    spec = importlib.util.spec_from_file_location('webui', ROOT / 'demo/webui.py')
    webui = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(webui)
    page = webui.Page(WSSSInferencer(CONFIG, device='cpu'))
    stream, seen, shares = page.inferencer.stream, [], []
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    for path in paths:
        Image.fromarray(scenes[0][0]).save(path)

    def other() -> None:
        shares.append(page.segment(paths[0], 'tree', '', '', 0.1)[1])

    thread = threading.Thread(target=other)

    def interrupted(*args):
        for result in stream(*args):
            if not seen:
                thread.start()
                thread.join(0.5)
            seen.append(page.inferencer.classes)
            yield result

    monkeypatch.setattr(page.inferencer, 'stream', interrupted)
    page.segment_all(paths, 'cow, fish', '', '', 0.1, 'png')
    thread.join()
    assert seen == [('background', 'cow', 'fish')] * 2
    assert set(shares[0]) == {'tree'}
