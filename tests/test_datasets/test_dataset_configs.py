"""The shipped data set configs work on a tiny copy of the folder layouts they describe."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.registry import DATASETS
from mmwsss.stores.label_file import write_label_file

BASE = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


@pytest.mark.parametrize(
    ('name', 'foreground', 'label'), [('voc12', 20, 'tvmonitor'), ('coco14', 80, 'toothbrush')]
)
def test_shipped_config_reads_its_layout(tmp_path, name, foreground, label):
    init_default_scope('mmseg')
    config = Config.fromfile(BASE / f'{name}.py')
    train, val = config.train_dataloader.dataset, config.val_dataloader.dataset
    assert 'masks' not in train and val.masks
    for dataset, key in ((train, 'one'), (val, 'two')):
        place = DATASETS.get(dataset.type).SPLITS[dataset.split]
        for folder in (place.images, place.masks):
            (tmp_path / (folder or '')).mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (50, 40), (9, 8, 7)).save(tmp_path / place.images / f'{key}.jpg')
        (tmp_path / place.ann_file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place.ann_file).write_text(f'{key}\n')
        dataset.data_root = str(tmp_path)
    mask = np.full((40, 50), foreground, np.uint8)
    Image.fromarray(mask).save(tmp_path / place.masks / 'two.png')
    write_label_file(tmp_path / train.label_file, {'one': [label], 'two': [label]})

    sample = DATASETS.build(train)[0]
    assert sample['inputs'].shape == (3, 320, 320)
    assert sample['data_samples'].gt_image_labels.label.nonzero().tolist() == [[foreground - 1]]
    assert 'gt_sem_seg' not in sample['data_samples']

    sample = DATASETS.build(val)[0]
    assert sample['inputs'].shape == (3, 40, 50)
    assert sample['inputs'][:, 0, 0].tolist() == pytest.approx([7, 8, 9], abs=2)
    assert sample['data_samples'].gt_sem_seg.data.unique().tolist() == [foreground]
    assert sample['data_samples'].gt_image_labels.label.sum() == 1
