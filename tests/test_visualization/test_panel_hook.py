"""The hook writes a panel per image of the data set, by the fields of the data samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.engine.hooks import PanelVisualizationHook, panel_visualization
from mmwsss.registry import HOOKS

META = dict(classes=('background', 'boat', 'car'), palette=[[0, 0, 0], [250, 0, 0], [0, 250, 0]])


@pytest.fixture
def samples(tmp_path):
    """Three samples; the first has every field, the second only a prediction."""
    made = []
    for i in range(3):
        path = tmp_path / f'image_{i}.jpg'
        Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(path)
        sample = SegDataSample(metainfo=dict(img_path=str(path)))
        sample.pred_sem_seg = PixelData(data=torch.ones(1, 40, 50, dtype=torch.int64))
        made.append(sample)
    full = made[0]
    full.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 50, dtype=torch.uint8))
    full.pred_pseudo_mask = PixelData(data=torch.zeros(1, 40, 50, dtype=torch.int64))
    full.pred_cam = BaseDataElement(cam=torch.rand(2, 40, 50), labels=torch.tensor([0, 1]))
    return made


@pytest.fixture
def runner(tmp_path):
    return SimpleNamespace(
        work_dir=str(tmp_path / 'work'), visualizer=SimpleNamespace(dataset_meta=META)
    )


def run_test(hook, runner, samples):
    hook.before_test_epoch(runner)
    for batch_idx, sample in enumerate(samples):
        hook.after_test_iter(runner, batch_idx, None, [sample])


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_panels_are_named_after_the_images_and_show_what_there_is(tmp_path, runner, samples):
    hook = HOOKS.build(dict(type='mmwsss.PanelVisualizationHook', out_dir=str(tmp_path / 'out')))
    run_test(hook, runner, samples)
    assert names(tmp_path / 'out') == ['image_0.png', 'image_1.png', 'image_2.png']
    widths = [Image.open(tmp_path / 'out' / n).width for n in names(tmp_path / 'out')]
    assert widths[0] - widths[1] == 4 * (256 + 6)  # two cams, pseudo mask, truth
    assert widths[1] == widths[2]


def test_default_folder_interval_and_limit(tmp_path, runner, samples):
    hook = PanelVisualizationHook(interval=2, max_images=1)
    run_test(hook, runner, samples)
    assert names(tmp_path / 'work' / 'panels') == ['image_0.png']
    run_test(PanelVisualizationHook(interval=2), runner, samples)
    assert names(tmp_path / 'work' / 'panels') == ['image_0.png', 'image_2.png']


def test_processes_share_interval_and_limit(tmp_path, runner, samples, monkeypatch):
    monkeypatch.setattr(panel_visualization, 'get_world_size', lambda: 2)
    for rank, shard in enumerate([[samples[0], samples[2]], [samples[1], samples[0]]]):
        monkeypatch.setattr(panel_visualization, 'get_rank', lambda rank=rank: rank)
        run_test(PanelVisualizationHook(max_images=2), runner, shard)
    assert names(tmp_path / 'work' / 'panels') == ['image_0.png', 'image_1.png']


@pytest.mark.parametrize('val', [False, True])
def test_validation_draws_only_when_asked(tmp_path, runner, samples, val):
    hook = PanelVisualizationHook(val=val)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, None, samples)
    assert (tmp_path / 'work' / 'panels').exists() == val


def test_bad_mask_names_the_image(runner, samples):
    samples[1].pred_sem_seg = PixelData(data=torch.full((1, 40, 50), 7))
    with pytest.raises(ValueError, match=r'image_1.jpg: the prediction has values \[7\]'):
        run_test(PanelVisualizationHook(), runner, samples)


@pytest.mark.parametrize(
    'arguments', [dict(interval=0), dict(interval=1.5), dict(max_images=-1), dict(max_images='2')]
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=f'{next(iter(arguments))} must be a whole number'):
        PanelVisualizationHook(**arguments)


def test_images_are_not_written_over(tmp_path, runner, samples):
    with pytest.raises(ValueError, match='also the folder of the images'):
        run_test(PanelVisualizationHook(out_dir=str(tmp_path)), runner, samples)
    assert names(tmp_path) == ['image_0.jpg', 'image_1.jpg', 'image_2.jpg']


def test_folders_that_know_what_they_were_made_from_are_no_place(tmp_path, runner, samples):
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'masks/made_from.json').write_text('{}')
    with pytest.raises(ValueError, match='masks holds results of another tool'):
        run_test(PanelVisualizationHook(out_dir=str(tmp_path / 'masks')), runner, samples)
    assert names(tmp_path / 'masks') == ['made_from.json']


def test_two_images_of_one_id_are_refused(tmp_path, runner, samples):
    samples[1].set_metainfo(dict(img_path=str(tmp_path / 'image_0.png')))
    with pytest.raises(ValueError, match=r'image_0\.png and .*image_0\.jpg have the same image id'):
        run_test(PanelVisualizationHook(), runner, samples)


def test_validations_replace_the_panels_of_the_one_before(tmp_path, runner, samples):
    hook = PanelVisualizationHook(val=True)
    for _ in range(2):
        hook.before_val_epoch(runner)
        hook.after_val_iter(runner, 0, None, samples)
    assert len(names(tmp_path / 'work' / 'panels')) == 3


def test_the_image_stands_upright(tmp_path, runner, samples):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.full((50, 40, 3), 90, np.uint8)
    picture[:, 20:] = 250  # the lower half, once turned
    Image.fromarray(picture).save(tmp_path / 'image_1.jpg', exif=exif)
    run_test(PanelVisualizationHook(), runner, samples)
    panel = np.array(Image.open(tmp_path / 'work' / 'panels' / 'image_1.png'))
    image = panel[30:-40, 10:250].mean(axis=(1, 2))
    assert image[-20:].min() > 200 > image[:20].max()
