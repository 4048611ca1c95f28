import json
import os

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.converters.masks import labels_from_masks
from mmwsss.utils.io import write_mask


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
    with pytest.raises(ValueError, match=r'a\.png holds the values \[3, 254\].* of the 3 classes'):
        labels_from_masks(tmp_path, ['cat', 'dog'])


def test_a_colour_mask_is_refused(tmp_path):
    Image.new('RGB', (2, 2)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'a\.png is not a label map'):
        labels_from_masks(tmp_path, ['cat'])


def test_missing_masks_are_counted_and_named_before_any_is_read(tmp_path):
    with pytest.raises(ValueError, match=r'holds no \.png'):
        labels_from_masks(tmp_path, ['cat'])
    with pytest.raises(FileNotFoundError, match='Mask folder'):
        labels_from_masks(tmp_path / 'no', ['cat'])
    (tmp_path / 'a.png').write_bytes(b'broken')
    (tmp_path / 'y.PNG').touch()
    with pytest.raises(FileNotFoundError, match=r'x\.png does not exist; 2 of 3 .*x, y.*y\.PNG'):
        labels_from_masks(tmp_path, ['cat'], ['a', 'x', 'y'])


@pytest.mark.parametrize('rows', [dict(a=[0, 255]), dict(a=[0, 0], b=[0, 255], c=[255, 255])])
def test_binary_masks_of_0_and_255_are_told(tmp_path, rows):
    put(tmp_path, **rows)
    with pytest.raises(ValueError, match=r'not one of the . masks holds a class, but there is 255'):
        labels_from_masks(tmp_path, ['cat'])
    with pytest.raises(ValueError, match=r'\([^(]*[ab]\.png\), which means ignored'):
        labels_from_masks(tmp_path, ['cat', 'dog'])


def test_masks_without_any_255_may_be_background_only(tmp_path):
    put(tmp_path, a=[0, 0])
    assert labels_from_masks(tmp_path, ['cat']) == {'a': []}


def test_masks_hold_at_most_254_classes(tmp_path):
    put(tmp_path, a=[254])
    classes = [f'c{number}' for number in range(1, 256)]
    assert labels_from_masks(tmp_path, classes[:254]) == {'a': ['c254']}
    with pytest.raises(ValueError, match=r'number of foreground classes must be .* got 255'):
        labels_from_masks(tmp_path, classes)


@pytest.mark.parametrize(
    ('classes', 'expected'), [('voc12', 'aeroplane'), ('coco14', 'person'), (None, 'lion')]
)
def test_tool(tmp_path, run_tool, classes, expected):
    put(tmp_path / 'masks', a=[1])
    (tmp_path / 'classes.txt').write_bytes('\ufefflion\r\n'.encode())
    (tmp_path / 'ids.txt').write_text('a\n')
    arguments = [tmp_path / 'masks', tmp_path / 'labels.json', '--ids', tmp_path / 'ids.txt']
    classes = classes or tmp_path / 'classes.txt'
    result = run_tool('mask_labels.py', *arguments, '--classes', classes)
    assert result.code == 0 and not result.err
    assert json.loads((tmp_path / 'labels.json').read_text()) == {'a': [expected]}


def test_tool_counts_what_it_left_out_by_kind(tmp_path, run_tool):
    masks = tmp_path / 'masks'
    put(masks, a=[1])
    for name in ('b.PNG', 'c.jpg', 'd.tif', 'e.png.tmp'):
        (masks / name).write_bytes(b'?')
    (masks / 'f.png').symlink_to(masks / 'nowhere.png')
    (masks / 'sub').mkdir()
    (masks / ' g.png').touch()
    for name in ('._a.png', '.DS_Store', 'Thumbs.db', 'labelmap.txt', 'meta.json'):
        (masks / name).write_bytes(b'no mask')
    result = run_tool('mask_labels.py', masks, tmp_path / 'l.json', '--classes', 'voc12')
    assert result.code == 1
    assert json.loads((tmp_path / 'l.json').read_text()) == {'a': ['aeroplane']}
    for kind in (
        '1 x .PNG, which must be .png (b.PNG)',
        '1 x unsupported .jpg (c.jpg)',
        '1 x unsupported .tif (d.tif)',
        '1 x unsupported .tmp (e.png.tmp)',
        '1 x broken link (f.png)',
        '1 x subfolder (sub)',
        '1 x name with blanks at its ends or line breaks ( g.png)',
    ):
        assert kind in result.err
    assert result.err.count(' x ') == 7


def test_tool_with_a_list_leaves_nothing_out(tmp_path, run_tool):
    put(tmp_path / 'masks', a=[1])
    (tmp_path / 'masks' / 'b.PNG').touch()
    (tmp_path / 'ids.txt').write_text('a\n')
    arguments = [tmp_path / 'masks', tmp_path / 'l.json', '--classes', 'voc12']
    result = run_tool('mask_labels.py', *arguments, '--ids', tmp_path / 'ids.txt')
    assert result.code == 0 and not result.err


@pytest.mark.skipif(os.name == 'nt', reason='names of files are text there')
def test_a_name_that_is_no_utf8_is_left_out_and_told(tmp_path, run_tool):
    put(tmp_path / 'masks', a=[1])
    with open(os.fsencode(tmp_path / 'masks') + b'/b\xff.png', 'wb'):
        pass
    result = run_tool('mask_labels.py', tmp_path / 'masks', tmp_path / 'l', '--classes', 'voc12')
    assert result.code == 1
    assert '1 x name that is not UTF-8' in result.err


def test_tool_does_not_overwrite_what_it_reads(tmp_path, run_tool):
    put(tmp_path / 'masks', a=[1])
    for name in ('classes.txt', 'ids.txt'):
        (tmp_path / name).write_text('a\n')
        options = ['--classes', tmp_path / 'classes.txt', '--ids', tmp_path / 'ids.txt']
        result = run_tool('mask_labels.py', tmp_path / 'masks', tmp_path / name, *options[:4])
        assert result.code == 1 and 'would be overwritten' in result.err
        (tmp_path / 'ids.txt').write_text('a\n')
