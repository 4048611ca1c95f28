import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.converters.masks import labels_from_masks
from mmwsss.utils.io import write_mask

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'mask_labels.py'


def put(folder, **values):
    for key, row in values.items():
        write_mask(folder / f'{key}.png', np.array([row], np.uint8), [[0, 0, 0], [9, 9, 9]])


def test_classes_that_occur_are_the_labels(tmp_path):
    put(tmp_path, a=[0, 2, 255, 1], b=[0, 0, 255], c=[2, 2])
    labels = labels_from_masks(tmp_path, ['cat', 'dog'])
    assert labels == {'a': ['cat', 'dog'], 'b': [], 'c': ['dog']}
    assert list(labels_from_masks(tmp_path, ['cat', 'dog'], ['c'])) == ['c']


def test_a_value_outside_of_the_class_list_is_named(tmp_path):
    put(tmp_path, a=[0, 1, 3, 254])
    with pytest.raises(ValueError, match=r'a\.png holds the values \[3, 254\], but 2 foreground'):
        labels_from_masks(tmp_path, ['cat', 'dog'])


def test_a_colour_mask_is_refused(tmp_path):
    Image.new('RGB', (2, 2)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'a\.png is not a label map'):
        labels_from_masks(tmp_path, ['cat'])


def test_missing_masks(tmp_path):
    with pytest.raises(ValueError, match=r'holds no \.png'):
        labels_from_masks(tmp_path, ['cat'])
    with pytest.raises(FileNotFoundError, match=r'x\.png'):
        labels_from_masks(tmp_path, ['cat'], ['x'])
    with pytest.raises(FileNotFoundError, match='Mask folder'):
        labels_from_masks(tmp_path / 'no', ['cat'])


@pytest.mark.parametrize(
    ('classes', 'expected'), [('voc12', 'aeroplane'), ('coco14', 'person'), (None, 'lion')]
)
def test_tool(tmp_path, monkeypatch, classes, expected):
    put(tmp_path / 'masks', a=[1])
    (tmp_path / 'classes.txt').write_text('lion\n')
    (tmp_path / 'ids.txt').write_text('a\n')
    arguments = [tmp_path / 'masks', tmp_path / 'labels.json', '--ids', tmp_path / 'ids.txt']
    arguments += ['--classes', classes or tmp_path / 'classes.txt']
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert json.loads((tmp_path / 'labels.json').read_text()) == {'a': [expected]}
