"""Masks by shares as a folder task, the table of masks, and PMM's pipelines in their order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.stages import Pipeline, PPMGFromCAMs, run_folder
from mmwsss.stages.mask_table import MaskTableStage, pixel_counts, pixel_table
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.io import read_mask, write_mask

PIPELINES = Path(__file__).parents[2] / 'configs/pipelines'
BACKBONES = ('resnet38', 'res2net101', 'scalenet101')


@pytest.fixture
def folders(tmp_path):
    """A red object on blue, whose map is too large; a class that is nowhere; no class at all."""
    for name in ('images', 'cams'):
        (tmp_path / name).mkdir()
    image = np.zeros((32, 40, 3), np.uint8)
    image[..., 2] = 200
    image[8:24, 10:30] = (200, 0, 0)
    cams = np.zeros((2, 32, 40))
    cams[0, 8:24, 10:33] = 0.1  # the rest of the object, and three columns of blue
    cams[0, 10:22, 12:28] = 0.6
    cams[1, 0] = 0.04
    for name, labels in (('both', (3, 5)), ('none', ())):
        Image.fromarray(image).save(tmp_path / f'images/{name}.png')
        save_cam(
            tmp_path / f'cams/{name}.npz', np.array(labels, int), cams[: len(labels)], (32, 40)
        )
    return tmp_path


def test_masks_follow_the_image_and_a_class_without_confident_pixels_gets_none(folders):
    task = PPMGFromCAMs()
    assert run_folder(task, folders / 'cams', folders / 'images', folders / 'out') == 2
    mask = read_mask(folders / 'out/both.png')
    assert set(np.unique(mask)) == {0, 4}
    assert (mask[8:24, 10:30] == 4).mean() > 0.95
    assert (mask == 4).sum() < 1.1 * 16 * 20
    assert not read_mask(folders / 'out/none.png').any()
    with pytest.raises(ValueError, match='alpha'):  # another setting, another folder
        run_folder(PPMGFromCAMs(alpha=4), folders / 'cams', folders / 'images', folders / 'out')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(alpha=0), 'alpha'),
        (dict(threshold=1.0), 'threshold'),
        (dict(cv_scale=-1), 'cv_scale'),
        (dict(crf=dict(preset='pnm')), 'presets are'),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PPMGFromCAMs(**arguments)


def masks_of(folder, **values):
    folder.mkdir()
    for name, value in values.items():
        write_mask(folder / f'{name}.png', np.array(value, np.uint8))
    return folder


def test_pixels_are_counted_by_class(tmp_path):
    folder = masks_of(tmp_path / 'masks', a=[[0, 1], [1, 255]], b=[[0, 0], [2, 0]])
    pixels, masks = pixel_counts(folder, 4, processes=1)
    assert pixels.tolist() == [4, 2, 1, 0, 1] and masks.tolist() == [2, 1, 1, 0, 1]
    text = str(pixel_table(['background', 'cat', 'dog', 'cow'], pixels, masks))
    assert '50.000' in text and '(unsure)' in text


def test_raw_category_ids_are_refused_where_classes_are_expected(tmp_path):
    folder = masks_of(tmp_path / 'masks', good=[[0, 80]], raw=[[0, 90]])
    with pytest.raises(ValueError, match=r'1 of 2 masks .*\[90\] in .*raw\.png.* --ids coco91'):
        pixel_counts(folder, 81, processes=1)
    with pytest.raises(ValueError, match='check the class list'):
        pixel_counts(folder, 21, processes=1)
    with pytest.raises(FileNotFoundError, match=r'has no \.png file for 1 of 2'):
        pixel_counts(folder, 81, ['good', 'gone'], processes=1)
    with pytest.raises(ValueError, match='there are 256 classes'):
        pixel_counts(folder, 256, processes=1)


def test_the_stage_writes_a_table_and_names_absent_classes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    masks_of(tmp_path / 'masks', a=[[0, 1]])
    (tmp_path / 'classes.txt').write_text('cat\ndog\n')
    (tmp_path / 'p.py').write_text(
        "stages = [dict(name='table', run='mask_table', masks='masks', classes='classes.txt')]"
    )
    results = Pipeline('p.py').run()
    assert results['table']['metrics']['absent_classes'] == 1
    assert 'no mask shows dog' in capsys.readouterr().out
    assert '1,cat,1,50.000,1' in Path('work_dirs/p/table.csv').read_text()


def test_coco_masks_are_counted_before_weakclip_learns_from_them():
    stages = {stage.name: stage for stage in Pipeline(PIPELINES / 'weakclip_coco.py').stages}
    table, learned = stages['before'], stages['refine'].loaded.train_dataloader.dataset
    assert isinstance(table, MaskTableStage)
    assert table.spec == dict(masks=learned.mask_dir, classes='coco14')
    assert list(stages).index('before') + 1 == list(stages).index('refine')


@pytest.mark.parametrize('network', BACKBONES)
def test_order_of_the_stages_on_voc(network):
    stages = Pipeline(PIPELINES / f'pmm_voc_{network}.py').stages
    assert [stage.name for stage in stages] == [
        *('seam', 'seam_maps', 'seam_seed', 'rough', 'classifier', 'maps', 'seed', 'ppmg'),
        *('table', 'mask', 'network_0', 'val_0', 'val_crf_0', 'relabel_1', 'table_1', 'mask_1'),
        *('network_1', 'val_1', 'val_crf_1'),
    ]
    of = {stage.name: stage for stage in stages}
    # a fresh network learns from the new masks by plain cross-entropy, the first one by PUF
    first, fresh = (of[name].loaded for name in ('network_0', 'network_1'))
    assert first.model.decode_head.loss_decode.type == 'mmwsss.PUFCrossEntropyLoss'
    assert fresh.model.decode_head.loss_decode.type == 'CrossEntropyLoss'
    assert not fresh.get('load_from') and first.model.backbone == fresh.model.backbone
    folder = f'work_dirs/pmm_voc_{network}'
    assert first.train_dataloader.dataset.mask_dir == f'{folder}/masks'
    assert fresh.train_dataloader.dataset.mask_dir == f'{folder}/cycle_1'
    relabel = of['relabel_1']
    assert relabel.spec['checkpoint'] == 'network_0' and relabel.outputs() == {
        f'{folder}/cycle_1': '.png'
    }
    test_cfg = relabel.loaded.model.test_cfg
    assert test_cfg.predict == 'seg' and len(test_cfg.scales) == 6 and test_cfg.flip
    assert (test_cfg.crf.preset, test_cfg.fit, test_cfg.crop) == ('deeplabv2', (2048, 512), 512)
    assert relabel.loaded.test_dataloader.dataset.split == 'train_aug'


def test_two_rounds_and_masks_of_known_classes(tmp_path):
    (tmp_path / 'pipelines').mkdir()
    for name in ('wsss', 'segmentation', '_base_'):
        (tmp_path / name).symlink_to(PIPELINES.parent / name)
    path = tmp_path / 'pipelines/two.py'
    path.write_text(
        f"_base_ = '{PIPELINES}/pmm_voc_resnet38.py'\n"
        "stages = dict(cycle=dict(times=2, stages={'relabel_{round}': dict(predict='cam')}))\n"
    )
    stages = {stage.name: stage for stage in Pipeline(path).stages}
    assert stages['relabel_2'].spec['checkpoint'] == 'network_1'
    assert stages['network_2'].loaded.train_dataloader.dataset.mask_dir.endswith('cycle_2')
    assert stages['relabel_2'].loaded.model.test_cfg.predict == 'cam'


@pytest.mark.parametrize('network', BACKBONES)
def test_coco_has_no_crops_in_training_and_no_cycle(network):
    stages = Pipeline(PIPELINES / f'pmm_coco_{network}.py').stages
    names = ['classifier', 'maps', 'ppmg', 'table', 'network_0', 'val_0', 'val_crf_0']
    assert [stage.name for stage in stages] == names
    network = stages[4].loaded.model
    assert network.decode_head.num_classes == network.auxiliary_head.num_classes == 81
    assert network.decode_head.loss_decode.beta == network.decode_head.loss_decode.k == 0.8
