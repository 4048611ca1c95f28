"""Saliency maps and saliency-guided labels as folder tasks and stages of a pipeline."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmwsss.datasets.mini_render import CLASSES, render_mini
from mmwsss.ops.saliency import quantize, saliency_guided_label
from mmwsss.ops.saliency.operators import OPERATORS
from mmwsss.stages import (
    MasksFromSaliency,
    Pipeline,
    SaliencyFromImages,
    SaliencyFromTruth,
    run_folder,
)
from mmwsss.stages.bed.settings import parse_saliency
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.io import read_mask, write_mask

IDS = ('a', 'b')


@pytest.fixture
def folders(tmp_path):
    """Two images, their masks, and maps at half the size."""
    for i, key in enumerate(IDS):
        image, mask, _ = render_mini('val', i)
        for name in ('images', 'truth', 'cams'):
            (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f'images/{key}.png')
        write_mask(tmp_path / f'truth/{key}.png', mask.astype(np.uint8))
        labels = np.unique(mask[mask > 0])[::-1] - 1  # in any order
        maps = np.stack([(mask == c + 1)[::2, ::2] * np.float32(0.8) for c in labels])
        save_cam(tmp_path / f'cams/{key}.npz', labels, maps, mask.shape)
    return tmp_path


def operate(folders, method='border_colour'):
    images = folders / 'images'
    return run_folder(SaliencyFromImages(method), images, images, folders / 'sal', None, 1)


@pytest.mark.parametrize('method', OPERATORS)
def test_saliency_of_a_folder(folders, method):
    assert operate(folders, method) == 2 and operate(folders, method) == 0
    image = torch.from_numpy(np.array(Image.open(folders / 'images/a.png')))
    expected = quantize(OPERATORS[method](image.permute(2, 0, 1)[None])[0])
    assert np.array_equal(read_mask(folders / 'sal/a.png'), expected.numpy())
    saliency = parse_saliency(f'x={folders}/sal')
    assert saliency.origin == f'{method.replace("_", " ")}, without learning'


def test_degraded_truth_is_worse_by_its_level_and_marked(folders):
    truth, errors = folders / 'truth', []
    for level in ('good', 'fair', 'poor'):
        out = folders / level
        run_folder(SaliencyFromTruth(level), truth, folders / 'images', out, None, 1)
        pairs = [
            (read_mask(out / f'{k}.png') / 255, read_mask(truth / f'{k}.png') > 0) for k in IDS
        ]
        errors.append(np.mean([np.abs(ours - true).mean() for ours, true in pairs]))
        assert parse_saliency(f'x={out}').uses_masks
    assert 0 < errors[0] < errors[1] < errors[2]
    again = folders / 'again'
    run_folder(SaliencyFromTruth('poor'), truth, folders / 'images', again, None, 1)
    assert (again / 'a.png').read_bytes() == (folders / 'poor/a.png').read_bytes()
    with pytest.raises(ValueError, match='level must be one of'):
        SaliencyFromTruth('bad')


@pytest.mark.parametrize(
    'given, rule',
    [
        (dict(preset='CAM'), (0.1, 0.2, True)),
        (dict(preset='DRS', tau=0.4), (0.4, 0.2, True)),
        (dict(tau=0.3, sal_thresh=0.5, ignore=False), (0.3, 0.5, False)),
        (dict(preset='EPS'), (0.2, None, False)),
    ],
)
def test_labels_are_the_rule(folders, given, rule):
    operate(folders)
    without = rule[1] is None
    task = MasksFromSaliency(None if without else str(folders / 'sal'), **given)
    assert run_folder(task, folders / 'cams', folders / 'images', folders / 'out', None, 1) == 2
    with np.load(folders / 'cams/a.npz') as file:
        cam, labels = torch.from_numpy(file['cam']).float(), torch.from_numpy(file['labels']).long()
    saliency = torch.from_numpy(read_mask(folders / 'sal/a.png'))
    size = tuple(saliency.shape)
    cam = torch.nn.functional.interpolate(cam[None], size=size, mode='bilinear')
    given = (None, rule[0]) if without else (saliency[None], *rule)
    expected = saliency_guided_label(quantize(cam), labels[None], *given)[0]
    assert np.array_equal(read_mask(folders / 'out/a.png'), expected.numpy())


def test_labels_know_the_saliency_they_were_made_from(folders):
    operate(folders)
    task = MasksFromSaliency(str(folders / 'sal'), preset='CAM')
    arguments = folders / 'cams', folders / 'images', folders / 'out', None, 1
    run_folder(task, *arguments)
    (folders / 'sal/a.png').touch()
    with pytest.raises(ValueError, match='inputs of 1 images have changed'):
        run_folder(task, *arguments)
    (folders / 'sal/a.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'no \.png file for 1 of 2 ids: a'):
        run_folder(task, *arguments)
    with pytest.raises(ValueError, match='which the task reads'):
        run_folder(task, folders / 'cams', folders / 'images', folders / 'sal', None, 1)


def test_saliency_of_another_size(folders):
    operate(folders)
    path = folders / 'sal/b.png'
    write_mask(path, read_mask(path)[2:])
    arguments = folders / 'cams', folders / 'images', folders / 'out', None, 1
    with pytest.raises(RuntimeError, match=r'1 of 2 images failed.*\n.*sal/b\.png is'):
        run_folder(MasksFromSaliency(str(folders / 'sal')), *arguments)
    task = MasksFromSaliency(str(folders / 'sal'), resize=True)
    assert run_folder(task, *arguments, restart=True) == 2


def test_binary_saliency_of_0_and_1_is_refused(folders):
    operate(folders)
    for key in IDS:
        path = folders / f'sal/{key}.png'
        write_mask(path, (read_mask(path) > 100).astype(np.uint8))
    arguments = folders / 'cams', folders / 'images', folders / 'out', None, 1
    with pytest.raises(ValueError, match=r'sal hold only 0 and 1, .* 255 must be the highest'):
        run_folder(MasksFromSaliency(str(folders / 'sal')), *arguments)
    write_mask(path, read_mask(path) * 0)  # an image in which nothing is salient
    write_mask(folders / 'sal/a.png', read_mask(folders / 'sal/a.png') * np.uint8(255))
    assert run_folder(MasksFromSaliency(str(folders / 'sal')), *arguments) == 2


def test_settings_that_contradict():
    with pytest.raises(ValueError, match='EPS does not use'):
        MasksFromSaliency('somewhere', preset='EPS')
    with pytest.raises(ValueError, match='CAM needs'):
        MasksFromSaliency(preset='CAM')
    with pytest.raises(ValueError, match='preset must be one of'):
        MasksFromSaliency('somewhere', preset='cam')
    with pytest.raises(ValueError, match='ignore=True needs saliency'):
        MasksFromSaliency(ignore=True)
    with pytest.raises(ValueError, match='tau'):
        MasksFromSaliency('somewhere', tau=-1)


def test_stages_of_a_pipeline(folders, monkeypatch):
    monkeypatch.chdir(folders)
    (folders / 'ids.txt').write_text('\n'.join(IDS))
    (folders / 'classes.txt').write_text('\n'.join(CLASSES))
    made = 'work_dirs/{pipeline}/maps'
    operator = dict(type='mmwsss.SaliencyFromImages', method='border_colour')
    labels = dict(type='mmwsss.MasksFromSaliency', saliency_dir=made, preset='CAM')
    common = dict(run='folder', images='images', processes=1)
    stages = [
        dict(name='saliency', task=operator, source='images', ids='ids.txt', out=made, **common),
        dict(name='labels', task=labels, source='cams', out='work_dirs/masks', **common),
        dict(name='mask', run='evaluate', predictions='work_dirs/masks', truth='truth',
             split='ids.txt', classes='classes.txt'),
    ]  # fmt: skip
    Config(dict(stages=stages)).dump('pipe.py')
    report = Pipeline('pipe.py', 'elsewhere').run()
    assert report['mask']['metrics']['mIoU'] > 50
    assert len(list((folders / 'elsewhere/pipe/maps').glob('*.png'))) == 2
    changed = folders / 'elsewhere/pipe/maps/a.png'
    write_mask(changed, read_mask(changed) // 2)
    with pytest.raises(RuntimeError, match='something else has changed'):
        Pipeline('pipe.py', 'elsewhere').run()
    labels['saliency_dir'] = 'nowhere'
    Config(dict(stages=stages[1:2])).dump('pipe2.py')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        Pipeline('pipe2.py', 'elsewhere').run()
