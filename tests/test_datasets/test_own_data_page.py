"""The WeCLIP config of docs/own_data.md builds its data sets."""

import re
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.registry import DATASETS, PARAM_SCHEDULERS
from mmwsss.stores.label_file import write_label_file

ROOT = Path(__file__).parents[2]


def test_the_config_of_the_page_reads_the_layout_of_the_page(tmp_path):
    init_default_scope('mmseg')
    page = (ROOT / 'docs' / 'own_data.md').read_text(encoding='utf-8')
    (text,) = re.findall(r'`configs/own/weclip_pets\.py`:\n\n```python\n(.*?)```', page, re.DOTALL)
    assert text.count("'../wsss/") == 1
    config_file = tmp_path / 'weclip_pets.py'
    config_file.write_text(text.replace("'../wsss/", f"'{ROOT}/configs/wsss/"))
    config = Config.fromfile(config_file)

    pets = tmp_path / 'data' / 'pets'
    for folder in ('images', 'masks'):
        (pets / folder).mkdir(parents=True)
    for name, split in (('one', 'train.txt'), ('two', 'val.txt')):
        Image.new('RGB', (30, 20)).save(pets / 'images' / f'{name}.jpg')
        Image.fromarray(np.full((20, 30), 2, np.uint8)).save(pets / 'masks' / f'{name}.png')
        (pets / split).write_text(f'{name}\n')
    write_label_file(pets / 'image_labels.json', {'one': ['dog'], 'two': ['cat', 'dog']})

    samples = {}
    for name in ('train', 'val', 'test'):
        dataset = config[f'{name}_dataloader'].dataset
        assert dataset.data_root == 'data/pets'
        dataset.data_root = str(pets)
        dataset = DATASETS.build(dataset)
        assert dataset.metainfo['classes'] == ('background', 'cat', 'dog')
        samples[name] = dataset[0]['data_samples']
    assert samples['train'].gt_image_labels.label.tolist() == [0, 1]
    assert 'gt_sem_seg' not in samples['train']
    assert samples['val'].gt_image_labels.label.tolist() == [1, 1]
    assert samples['test'].gt_sem_seg.data.unique().tolist() == [2]

    model = config.model
    assert model.decode_head.num_classes == len(config.classes)
    assert len(model.text.class_names) == len(config.classes) - 1
    (scheduler,) = config.param_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    end = config.train_cfg.max_iters  # as the runner gives it
    assert PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer, end=end)).max_iters == end
    assert 0 < model.refiner.gated_start < config.train_cfg.max_iters
    assert model.type == Config.fromfile(ROOT / 'configs/wsss/weclip_voc.py').model.type
